-- Whether the sender of a job signs its result. Those of jobs that are here already came with a release that did not.
ALTER TABLE htcjobs ADD COLUMN signs_result INTEGER NOT NULL DEFAULT 0;
