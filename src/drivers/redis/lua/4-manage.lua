-- Queues as a whole: made, looked at, emptied, paused, deleted.

-- Fields and values of the declaration; one that is there stays as it is.
function commands.create(keys, args)
  if call('HEXISTS', keys[1], 'born') == 1 then return 0 end
  local time = call('TIME')
  call('HSET', keys[1], 'born', time[1] .. '.' .. time[2], unpack(args))
  return 1
end

local function delete_queue(queue)
  local base = queue.base
  local keys = {
    base, base .. ':messages', base .. ':delayed', base .. ':attempts', base .. ':consumers', base .. ':resting',
    base .. ':waiting', base .. ':owned', base .. ':out', base .. ':transfers', base .. ':lanes',
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

-- ifEmpty ('1'), unused ('1': only where nobody consumes). How many messages it held; -1 where it was not deleted.
function commands.delete(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return 0 end
  local held = call('HLEN', queue.base .. ':messages')
  if args[1] == '1' and held > 0 then return { 'full', held } end
  if args[2] == '1' then
    dismiss_late(queue, now_ms())
    if call('ZCARD', queue.base .. ':consumers') > 0 then return { 'used' } end
  end
  delete_queue(queue)
  return { 'ok', held }
end

-- consumer: gone for good; what it holds goes back, no attempt used up. 'deleted' where that was the queue's last one.
function commands.leave(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return 'missing' end
  if not call('ZSCORE', queue.base .. ':consumers', args[1]) then return 'lost' end
  dismiss(queue, args[1], false)
  if queue.auto_delete and call('ZCARD', queue.base .. ':consumers') == 0 then
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
  local unacked = 0
  for _, consumer in ipairs(call('ZRANGE', base .. ':consumers', 0, -1)) do
    unacked = unacked + call('SCARD', base .. ':held:' .. consumer)
  end
  local oldest = 0
  for _, lane in ipairs(lanes_of(queue)) do
    local entry = call('ZRANGE', base .. ':returned:' .. lane, 0, 0)[1] or call('LINDEX', base .. ':ready:' .. lane, 0)
    local record = entry and call('HGET', base .. ':messages', id_of(entry))
    if record then oldest = math.max(oldest, now - tonumber(string.match(record, '^%d+'))) end
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

-- state, limit, cursor: 'ok', where to go on ('' at the end), then entry, attempts, record and due time of each.
function commands.browse(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return { 'missing' } end
  promote(queue, now_ms())
  local state, limit, cursor = args[1], tonumber(args[2]), args[3]
  local entries, go_on = {}, ''
  if state == 'ready' then
    local from_lane, place = string.match(cursor, '^(%d+)%.(%d+)$')
    for _, lane in ipairs(lanes_of(queue)) do
      if not from_lane or tonumber(lane) <= tonumber(from_lane) then
        local after = lane == from_lane and tonumber(place) or 0
        for _, entry in ipairs(browse_lane(queue, lane, after, limit - #entries)) do
          entries[#entries + 1] = entry
          go_on = lane .. '.' .. whole(place_of(entry))
        end
        if #entries >= limit then break end
      end
    end
    if #entries < limit then go_on = '' end
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

-- state, limit: how many were dropped, and '1' where there is more to drop.
function commands.purge(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return { 'missing' } end
  local state, limit = args[1], tonumber(args[2])
  promote(queue, now_ms())
  local ids = {}
  if state ~= 'delayed' then
    for _, lane in ipairs(lanes_of(queue)) do
      for _, entry in ipairs(take_off(queue, lane, limit - #ids)) do ids[#ids + 1] = id_of(entry) end
      if #ids >= limit then break end
    end
    if #ids < limit and tonumber(call('HGET', queue.base, 'parked') or 0) > 0 then
      for _, key in ipairs(call('HKEYS', queue.base .. ':owners')) do
        while #ids < limit do
          local entry = call('LPOP', queue.base .. ':parked:' .. key)
          if not entry then break end
          ids[#ids + 1] = id_of(entry)
          count(queue, 'parked', -1)
        end
      end
    end
  end
  if state ~= 'ready' and #ids < limit then
    local delayed = call('ZPOPMIN', queue.base .. ':delayed', limit - #ids)
    for index = 1, #delayed, 2 do ids[#ids + 1] = delayed[index] end
  end
  forget(queue, ids)
  count(queue, 'dropped', #ids)
  return { 'ok', #ids, #ids >= limit and 1 or 0 }
end

-- Message ids, as their publishers named them, may be the same: all of them go.
-- cursor, what the content begins with or holds: the delayed messages in slices, for the client to choose from.
function commands.cancel(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return { 'missing' } end
  local gone = {}
  for index = 1, #args do
    if call('ZREM', queue.base .. ':delayed', args[index]) == 1 then gone[#gone + 1] = args[index] end
  end
  forget(queue, gone)
  count(queue, 'dropped', #gone)
  return { 'ok', #gone }
end
