-- Where files are that neither came home nor are expected: what was not seen may be back in a later life.
ALTER TABLE htcjobs ADD COLUMN files text;
