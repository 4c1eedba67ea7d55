-- The part of a job's command that cannot be secret: the program, and the action of a known tool.
ALTER TABLE jobs ADD COLUMN command TEXT;
ALTER TABLE conflicts RENAME COLUMN mend TO help;
