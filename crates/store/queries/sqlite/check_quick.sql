-- Every page, but not whether an index agrees with its table.
SELECT quick_check FROM pragma_quick_check
