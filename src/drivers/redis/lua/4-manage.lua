-- Queues as a whole: made, looked at, emptied, paused, deleted.

-- Fields and values of the declaration; one that is there stays as it is. 1: it was made. 0: it was there. 2 and more: it was
-- there, and something waits to be brought elsewhere, all of it in so many ms less 2; who was about to may have died.
function commands.create(keys, args)
  if call('HEXISTS', keys[1], 'born') == 1 then
    local last = call('ZRANGE', keys[1] .. ':out', -1, -1, 'WITHSCORES')[2]
    return last and 2 + math.max(0, tonumber(last) - now_ms()) or 0
  end
  local time = call('TIME')
  call('HSET', keys[1], 'born', time[1] .. '.' .. time[2], unpack(args))
  return 1
end

local function delete_queue(queue)
  local base = queue.base
  local keys = {
    base, base .. ':messages', base .. ':delayed', base .. ':attempts', base .. ':consumers', base .. ':resting',
    base .. ':waiting', base .. ':owned', base .. ':out', base .. ':transfers', base .. ':lanes',
    base .. ':aside', base .. ':ranks', base .. ':wanting',
  }
  for lane = 0, queue.priorities do
    keys[#keys + 1] = base .. ':ready:' .. lane
    keys[#keys + 1] = base .. ':returned:' .. lane
  end
  for _, consumer in ipairs(call('ZRANGE', base .. ':consumers', 0, -1)) do
    keys[#keys + 1] = base .. ':held:' .. consumer
  end
  for _, key in ipairs(call('HKEYS', base .. ':owners')) do keys[#keys + 1] = base .. ':parked:' .. key end
  keys[#keys + 1] = base .. ':owners'
  -- Those who wait learn of it by coming.
  local prefix = string.match(base, '^(.-):{')
  for _, consumer in ipairs(call('ZRANGE', base .. ':consumers', 0, -1)) do
    call('PUBLISH', prefix .. ':wake:' .. string.match(consumer, '^[^.]+'), consumer)
  end
  for _, key in ipairs(keys) do call('UNLINK', key) end
end

-- ifEmpty ('1'), unused ('1': only where nobody consumes), born (empty: whichever queue it is). 0 where that queue is not
-- there, else how many messages it held.
function commands.delete(keys, args)
  local queue = open_queue(keys[1])
  if not queue or (args[3] or '') ~= '' and args[3] ~= queue.born then return 0 end
  local held = call('HLEN', queue.base .. ':messages')
  if args[1] == '1' and held > 0 then return { 'full', held } end
  if args[2] == '1' then
    dismiss_late(queue, now_ms())
    if call('ZCARD', queue.base .. ':consumers') > 0 then return { 'used' } end
  end
  delete_queue(queue)
  return { 'ok', held }
end

-- consumer, late ('1': its lease is over; '2': and nothing of what it holds was looked at): gone for good. What it holds goes
-- back, an attempt used up with '1'.
-- 'deleted' where that was the queue's last one; who was late comes again.
function commands.leave(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return 'missing' end
  if not call('ZSCORE', queue.base .. ':consumers', args[1]) then return 'lost' end
  dismiss(queue, args[1], args[2] == '1')
  -- All that it asked has been answered.
  call('UNLINK', queue.base .. ':requests:' .. args[1])
  if queue.auto_delete and (args[2] or '0') == '0' and call('ZCARD', queue.base .. ':consumers') == 0 then
    delete_queue(queue)
    return 'deleted'
  end
  if queue.single or ready_count(queue) > 0 then wake(queue, 1) end
  return 'ok'
end

function commands.pause(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return 'missing' end
  call('HSET', queue.base, 'paused', args[1])
  queue.paused = args[1] == '1'
  wake(queue, 1000)
  return 'ok'
end

local figures = { 'published', 'delivered', 'acked', 'retried', 'deadLettered', 'expired', 'dropped' }

function commands.stats(keys)
  local queue = open_queue(keys[1])
  if not queue then return { 'missing' } end
  local now = now_ms()
  local base = queue.base
  dismiss_late(queue, now)
  promote(queue, now)
  -- What is being brought elsewhere is in somebody's hands too.
  local unacked = call('ZCARD', base .. ':out')
  for _, consumer in ipairs(call('ZRANGE', base .. ':consumers', 0, -1)) do
    unacked = unacked + call('SCARD', base .. ':held:' .. consumer)
  end
  local oldest = 0
  local function consider(entry)
    local record = entry and call('HGET', base .. ':messages', id_of(entry))
    if record then oldest = math.max(oldest, now - tonumber(string.match(record, '^%d+'))) end
  end
  consider(call('ZRANGE', base .. ':aside', 0, 0)[1])
  for _, lane in ipairs(lanes_of(queue)) do
    consider(call('ZRANGE', base .. ':returned:' .. lane, 0, 0)[1] or call('LINDEX', base .. ':ready:' .. lane, 0))
  end
  local reply = {
    'ok', ready_count(queue), unacked, call('ZCARD', base .. ':delayed'),
    call('ZCARD', base .. ':consumers') - call('SCARD', base .. ':resting'), whole(oldest), queue.paused and 1 or 0,
  }
  for _, value in ipairs(call('HMGET', base, unpack(figures))) do reply[#reply + 1] = tonumber(value or 0) end
  reply[#reply + 1] = queue.owner or ''
  reply[#reply + 1] = call('EXISTS', base .. ':out')
  return reply
end

local function append(queue, reply, entries)
  local ids = {}
  for index = 1, #entries do ids[index] = id_of(entries[index]) end
  local records = list_many('HMGET', queue.base .. ':messages', ids)
  local attempts = list_many('HMGET', queue.base .. ':attempts', ids)
  for index = 1, #entries do
    if records[index] then
      reply[#reply + 1] = entries[index]
      reply[#reply + 1] = tonumber(attempts[index] or 0)
      reply[#reply + 1] = records[index]
      reply[#reply + 1] = call('ZSCORE', queue.base .. ':delayed', ids[index]) or '0'
    end
  end
end

-- The first place in a list (of a lane) whose entry lies behind this place.
local function behind(key, place)
  local low, high = 0, call('LLEN', key)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if place_of(call('LINDEX', key, middle)) <= place then low = middle + 1 else high = middle end
  end
  return low
end

local function browse_lane(queue, lane, place, limit)
  local entries = call('ZRANGEBYSCORE', queue.base .. ':returned:' .. lane, '(' .. whole(place), '+inf', 'LIMIT', 0, limit)
  if #entries < limit then
    local key = queue.base .. ':ready:' .. lane
    local from = behind(key, place)
    for _, entry in ipairs(call('LRANGE', key, from, from + limit - #entries - 1)) do entries[#entries + 1] = entry end
  end
  return entries
end

-- Lane by lane, and last those that wait for their key. Where to go on: lane + 1 (0: those that wait) and place.
local function browse_ready(queue, limit, cursor)
  local from, place = string.match(cursor, '^(%d+)%.(%d+)$')
  local entries, go_on = {}, ''
  local function add(number, list)
    for _, entry in ipairs(list) do
      entries[#entries + 1] = entry
      go_on = whole(number) .. '.' .. whole(place_of(entry))
    end
  end
  local function after(number) return tonumber(from) == number and tonumber(place) or 0 end
  for _, lane in ipairs(lanes_of(queue)) do
    local number = lane + 1
    if #entries < limit and (not from or number <= tonumber(from)) then
      add(number, browse_lane(queue, lane, after(number), limit - #entries))
    end
  end
  if #entries < limit then
    local low = '(' .. whole(after(0))
    add(0, call('ZRANGEBYSCORE', queue.base .. ':aside', low, '+inf', 'LIMIT', 0, limit - #entries))
  end
  return entries, #entries == limit and go_on or ''
end

-- state, limit, cursor: 'ok', where to go on ('' at the end), then entry, attempts, record and due time of each.
function commands.browse(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return { 'missing' } end
  promote(queue, now_ms())
  local state, limit, cursor = args[1], tonumber(args[2]), args[3]
  local entries, go_on = {}, ''
  if state == 'ready' then
    entries, go_on = browse_ready(queue, limit, cursor)
  else
    local from = tonumber(cursor) or 0
    if state == 'delayed' then
      entries = call('ZRANGE', queue.base .. ':delayed', from, from + limit - 1)
    else
      local held = {}
      for _, consumer in ipairs(call('ZRANGE', queue.base .. ':consumers', 0, -1)) do
        for _, entry in ipairs(call('SMEMBERS', queue.base .. ':held:' .. consumer)) do held[#held + 1] = entry end
      end
      table.sort(held, by_place)
      for index = from + 1, math.min(#held, from + limit) do entries[#entries + 1] = held[index] end
    end
    if #entries == limit then go_on = whole(from + limit) end
  end
  local reply = { 'ok', go_on }
  append(queue, reply, entries)
  return reply
end

-- Off those that wait for their key: its id.
local function unpark(queue, entry)
  local id = id_of(entry)
  local _, _, key = head_of(call('HGET', queue.base .. ':messages', id))
  call('LREM', queue.base .. ':parked:' .. key, 1, entry)
  call('ZREM', queue.base .. ':aside', entry)
  count_bytes(queue, { id }, -1)
  return id
end

-- client, number, again, state, limit: how many were dropped, and '1' where there is more to drop.
commands.purge = once(function(queue, args)
  local state, limit = args[1], tonumber(args[2])
  promote(queue, now_ms())
  local ids = {}
  if state ~= 'delayed' then
    for _, lane in ipairs(lanes_of(queue)) do
      for _, entry in ipairs(take_off(queue, lane, limit - #ids)) do ids[#ids + 1] = id_of(entry) end
      if #ids >= limit then break end
    end
    local aside = #ids < limit and call('ZRANGE', queue.base .. ':aside', 0, limit - #ids - 1) or {}
    for index = 1, #aside do ids[#ids + 1] = unpark(queue, aside[index]) end
  end
  if state ~= 'ready' and #ids < limit then
    local delayed = call('ZPOPMIN', queue.base .. ':delayed', limit - #ids)
    for index = 1, #delayed, 2 do ids[#ids + 1] = delayed[index] end
  end
  forget(queue, ids)
  count(queue, 'dropped', #ids)
  return { 'ok', #ids, #ids >= limit and 1 or 0 }
end)

-- client, number, again, ids: how many of them were delayed, and are dropped. Which they are the client finds by browsing.
commands.cancel = once(function(queue, args)
  local gone = {}
  for index = 1, #args do
    if call('ZREM', queue.base .. ':delayed', args[index]) == 1 then gone[#gone + 1] = args[index] end
  end
  forget(queue, gone)
  count(queue, 'dropped', #gone)
  return { 'ok', #gone }
end)
