-- Whether the predecessor of this operator has submitted the jobs of a workload.
ALTER TABLE wishes ADD COLUMN inherited INTEGER NOT NULL DEFAULT 0;
