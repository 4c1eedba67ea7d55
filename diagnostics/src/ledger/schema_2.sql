ALTER TABLE conflicts RENAME COLUMN mend TO help;
