-- Databases of releases before the highest cluster was kept say so: what HTCondor remembers of their time is theirs.
INSERT OR IGNORE INTO facts (name, value)
SELECT 'clusters_unknown', '1' FROM facts
WHERE name = 'born' AND NOT EXISTS (SELECT 1 FROM facts WHERE name = 'highest_cluster');
