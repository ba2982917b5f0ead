-- Every page, every index, every CHECK.
SELECT integrity_check FROM pragma_integrity_check
