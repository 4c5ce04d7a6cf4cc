-- Tombstones are looked for by their age, without reading all workloads.
CREATE INDEX wishes_tombstones ON wishes (since) WHERE want = 'tombstone';
