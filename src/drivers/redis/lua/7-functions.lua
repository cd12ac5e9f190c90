-- A server that has no memory left refuses what may need some; the rest frees it, or moves things about. There are no loops
-- while a library is loaded.

local function frugal(name, callback)
  redis.register_function({ function_name = name, callback = callback, flags = { 'allow-oom' } })
end

redis.register_function('millrace_publish', commands.publish)
redis.register_function('millrace_import', commands.import)
frugal('millrace_work', commands.work)
frugal('millrace_join', commands.join)
frugal('millrace_rest', commands.rest)
frugal('millrace_extend', commands.extend)
redis.register_function('millrace_create', commands.create)
frugal('millrace_delete', commands.delete)
frugal('millrace_leave', commands.leave)
frugal('millrace_pause', commands.pause)
frugal('millrace_stats', commands.stats)
frugal('millrace_browse', commands.browse)
frugal('millrace_purge', commands.purge)
frugal('millrace_cancel', commands.cancel)
frugal('millrace_fetch', commands.fetch)
frugal('millrace_strike', commands.strike)
frugal('millrace_send', commands.send)
redis.register_function('millrace_declare', commands.declare)
frugal('millrace_undeclare', commands.undeclare)
frugal('millrace_touch', commands.touch)
frugal('millrace_overdue', commands.overdue)
frugal('millrace_revision', commands.revision)
