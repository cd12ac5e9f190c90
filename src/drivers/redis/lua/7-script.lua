-- For servers without Functions: the name of the command is the last argument.

return commands[table.remove(ARGV)](KEYS, ARGV)
