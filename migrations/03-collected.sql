-- When the folder of an ended workload was removed because its time was over, epoch seconds.
ALTER TABLE wishes ADD COLUMN collected INTEGER;
