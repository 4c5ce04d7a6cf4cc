-- To whom a workload belongs among the callers of its door; what is older than this belongs to all of them.
ALTER TABLE wishes ADD COLUMN owner TEXT;
