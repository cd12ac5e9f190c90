-- A queue and its messages: where they are kept, and how one is moved from place to place. See docs/redis-protocol.md.
--
-- An entry is a message's place in its queue, as text: '17' for message 17 where it was first put, '42:17' for message 17
-- in the later place 42. Places count upwards, so entries that came back go before those that were never taken.

-- While a library is loaded there is nothing to call yet.
local function call(...) return redis.call(...) end
local commands = {}

-- Lua's stack holds some 8,000 values.
local chunk = 2000

local function call_many(command, key, values)
  local count = #values
  if count == 0 then return 0 end
  if count <= chunk then return call(command, key, unpack(values)) end
  local sum = 0
  for from = 1, count, chunk do
    sum = sum + call(command, key, unpack(values, from, math.min(from + chunk - 1, count)))
  end
  return sum
end

-- For commands that answer with a list, one item for each value.
local function list_many(command, key, values)
  local count = #values
  if count == 0 then return {} end
  if count <= chunk then return call(command, key, unpack(values)) end
  local all = {}
  for from = 1, count, chunk do
    local part = call(command, key, unpack(values, from, math.min(from + chunk - 1, count)))
    for index = 1, #part do all[#all + 1] = part[index] end
  end
  return all
end

-- Numbers of more than 14 digits would be written with an exponent.
local function whole(number)
  return string.format('%.0f', number)
end

local function now_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function id_of(entry)
  local colon = string.find(entry, ':', 1, true)
  if colon then return string.sub(entry, colon + 1) end
  return entry
end

local function place_of(entry)
  local colon = string.find(entry, ':', 1, true)
  return tonumber(colon and string.sub(entry, 1, colon - 1) or entry)
end

local function by_place(a, b)
  return place_of(a) < place_of(b)
end

-- The figures that the server needs of a message: when it expires (0: never), its priority, its key.
local function head_of(record)
  local _, last, expires, priority, key_bytes = string.find(record, '^%d+ (%d+) (%d+) (%d+)\n')
  local key = string.sub(record, last + 1, last + tonumber(key_bytes))
  return tonumber(expires), tonumber(priority), key, last + #key
end

local function body_bytes(record)
  local _, _, _, last = head_of(record)
  return #record - (string.find(record, '\n', last + 1, true) or last)
end

local fields = {
  'born', 'priorities', 'ttl', 'maxLength', 'maxBytes', 'overflow', 'deadLetter', 'deliveryLimit', 'single', 'paused',
  'autoDelete', 'owner', 'expires',
}

-- The queue, or nil where there is none.
local function open_queue(base)
  local value = call('HMGET', base, unpack(fields))
  if not value[1] then return nil end
  return {
    base = base,
    born = value[1],
    priorities = tonumber(value[2]),
    ttl = tonumber(value[3]),
    max_length = tonumber(value[4] or nil),
    max_bytes = tonumber(value[5] or nil),
    overflow = value[6] or 'drop-head',
    dead_letter = value[7],
    delivery_limit = tonumber(value[8] or nil),
    single = value[9] == '1',
    paused = value[10] == '1',
    auto_delete = value[11] == '1',
    owner = value[12],
    expires = tonumber(value[13] or 0),
  }
end

local function count(queue, figure, by)
  if by ~= 0 then call('HINCRBY', queue.base, figure, by) end
end

-- The lanes that may hold something, those of high priority first.
local function lanes_of(queue)
  if queue.priorities == 0 then return { '0' } end
  return call('ZREVRANGE', queue.base .. ':lanes', 0, -1)
end

local function lane_of(queue, id, record)
  if queue.priorities == 0 then return '0' end
  record = record or call('HGET', queue.base .. ':messages', id)
  if not record then return '0' end
  local _, priority = head_of(record)
  return whole(math.min(priority, queue.priorities))
end

local function use_lane(queue, lane)
  if queue.priorities > 0 then call('ZADD', queue.base .. ':lanes', lane, lane) end
end

local function ready_count(queue)
  local sum = call('ZCARD', queue.base .. ':aside')
  for _, lane in ipairs(lanes_of(queue)) do
    sum = sum + call('LLEN', queue.base .. ':ready:' .. lane) + call('ZCARD', queue.base .. ':returned:' .. lane)
  end
  return sum
end

-- Bytes are counted for queues that limit them alone.
local function count_bytes(queue, ids, sign)
  if not queue.max_bytes or #ids == 0 then return end
  local bytes = 0
  for _, record in ipairs(list_many('HMGET', queue.base .. ':messages', ids)) do
    if record then bytes = bytes + body_bytes(record) end
  end
  count(queue, 'readyBytes', sign * bytes)
end

-- Whether its consumers have ranks: those that have room (`wanting`) go before others of a lower rank.
local function is_ranked(queue)
  return call('EXISTS', queue.base .. ':ranks') == 1
end

-- Takes one off those that wait to be told, of the highest rank.
local function next_waiting(queue, ranked)
  for _, consumer in ipairs(ranked and call('ZREVRANGE', queue.base .. ':wanting', 0, -1) or {}) do
    if call('SREM', queue.base .. ':waiting', consumer) == 1 then return consumer end
  end
  return call('SPOP', queue.base .. ':waiting')
end

local function tell_to_come(queue, consumer)
  local prefix = string.match(queue.base, '^(.-):{')
  return call('PUBLISH', prefix .. ':wake:' .. string.match(consumer, '^[^.]+'), consumer) > 0
end

local in_cluster

-- Who listens at another node of a cluster hears, but is not counted.
local function hears_elsewhere()
  if in_cluster == nil then
    local info = redis.pcall('INFO', 'cluster')
    in_cluster = type(info) == 'string' and string.find(info, 'cluster_enabled:1', 1, true) ~= nil
  end
  return in_cluster
end

-- Tells waiting consumers that there is something to take; each is told once, and has to come and take. Where nobody can know
-- whether they hear, two more are told.
local function wake(queue, consumers)
  if queue.paused then return end
  local spare = 2
  local ranked = is_ranked(queue)
  while consumers > 0 do
    local consumer = next_waiting(queue, ranked)
    if not consumer then return end
    if tell_to_come(queue, consumer) then
      consumers = consumers - 1
    elseif hears_elsewhere() then
      if spare > 0 then spare = spare - 1 else consumers = consumers - 1 end
    else
      -- Its process is gone, and nobody need wait until its lease is over.
      call('ZREM', queue.base .. ':wanting', consumer)
    end
  end
end

-- To the tail, as the newest entries of their lanes.
local function enqueue(queue, ids)
  if #ids == 0 then return end
  local last = call('HINCRBY', queue.base, 'sequence', #ids)
  local by_lane = {}
  for index, id in ipairs(ids) do
    local lane = lane_of(queue, id)
    by_lane[lane] = by_lane[lane] or {}
    table.insert(by_lane[lane], whole(last - #ids + index) .. ':' .. id)
  end
  for lane, entries in pairs(by_lane) do
    call_many('RPUSH', queue.base .. ':ready:' .. lane, entries)
    use_lane(queue, lane)
  end
  count_bytes(queue, ids, 1)
end

-- To the place where it was.
local function put_back(queue, entry)
  local id = id_of(entry)
  local lane = lane_of(queue, id)
  call('ZADD', queue.base .. ':returned:' .. lane, place_of(entry), entry)
  use_lane(queue, lane)
  count_bytes(queue, { id }, 1)
end

-- What most queues do not have most of the time: looked for once, instead of one by one where it may matter. A call that
-- brings any of it about says so by `quiet = false`.
local function listen(queue)
  local base = queue.base
  queue.quiet = queue.priorities == 0 and call('EXISTS', base .. ':attempts', base .. ':owned', base .. ':delayed',
    base .. ':waiting', base .. ':out', base .. ':returned:0', base .. ':ranks') == 0
end

-- Takes up to `limit` entries off a lane, the oldest first.
local function take_off(queue, lane, limit)
  local entries = {}
  if not queue.quiet then
    local returned = call('ZPOPMIN', queue.base .. ':returned:' .. lane, limit)
    for index = 1, #returned, 2 do entries[#entries + 1] = returned[index] end
  end
  if #entries < limit then
    local ready = call('LPOP', queue.base .. ':ready:' .. lane, limit - #entries)
    if ready then
      if #entries == 0 then
        entries = ready
      else
        for index = 1, #ready do entries[#entries + 1] = ready[index] end
      end
    end
    if queue.priorities > 0 and #entries < limit then call('ZREM', queue.base .. ':lanes', lane) end
  end
  if queue.max_bytes then
    local ids = {}
    for index = 1, #entries do ids[index] = id_of(entries[index]) end
    count_bytes(queue, ids, -1)
  end
  return entries
end

-- The message leaves its key to the next one that waits for it.
local function free_key(queue, id)
  local key = call('HGET', queue.base .. ':owned', id)
  if not key then return end
  call('HDEL', queue.base .. ':owned', id)
  local entry = call('LPOP', queue.base .. ':parked:' .. key)
  if not entry then
    call('HDEL', queue.base .. ':owners', key)
    return
  end
  local next_id = id_of(entry)
  call('HSET', queue.base .. ':owners', key, next_id)
  call('HSET', queue.base .. ':owned', next_id, key)
  call('ZREM', queue.base .. ':aside', entry)
  count_bytes(queue, { next_id }, -1)
  put_back(queue, entry)
end

-- Whether the message may be handed out: it owns its key, or has none. Otherwise it waits for its turn: behind the others
-- of its key, and aside with all that wait, by place.
local function admit(queue, entry, id, key)
  if key == '' then return true end
  local owner = call('HGET', queue.base .. ':owners', key)
  if owner == id then return true end
  if owner then
    call('RPUSH', queue.base .. ':parked:' .. key, entry)
    call('ZADD', queue.base .. ':aside', place_of(entry), entry)
    count_bytes(queue, { id }, 1)
    return false
  end
  call('HSET', queue.base .. ':owners', key, id)
  call('HSET', queue.base .. ':owned', id, key)
  return true
end

-- The messages are gone for good.
local function forget(queue, ids)
  if #ids == 0 then return end
  call_many('HDEL', queue.base .. ':messages', ids)
  if queue.quiet then return end
  if call('EXISTS', queue.base .. ':attempts') == 1 then call_many('HDEL', queue.base .. ':attempts', ids) end
  if call('EXISTS', queue.base .. ':owned') == 1 then
    for index = 1, #ids do free_key(queue, ids[index]) end
  end
end

-- Before all times, so that what was never tried is brought in the order in which it left.
local before_times = -2 ^ 52

-- The message is to go elsewhere: it waits in `out` until somebody has brought it there.
local function send_out(queue, id, transfer)
  free_key(queue, id)
  call('HSET', queue.base .. ':transfers', id, cjson.encode(transfer))
  call('ZADD', queue.base .. ':out', whole(before_times + call('HINCRBY', queue.base, 'sequence', 1)), id)
end

-- To the dead-letter exchange, or away where there is none.
local function bury(queue, id, death)
  if death.reason == 'expired' then count(queue, 'expired', 1) end
  if not queue.dead_letter then
    if death.reason ~= 'expired' then count(queue, 'dropped', 1) end
    forget(queue, { id })
    return
  end
  death.type = 'dead'
  death.attempts = tonumber(call('HGET', queue.base .. ':attempts', id) or 0)
  death.to = cjson.decode(queue.dead_letter)
  death.at = now_ms()
  send_out(queue, id, death)
end

-- One more attempt is used up. False where it was one too many, and the message is dead.
local function attempted(queue, id)
  local attempts = call('HINCRBY', queue.base .. ':attempts', id, 1)
  if not queue.delivery_limit or attempts <= queue.delivery_limit then return true end
  bury(queue, id, { reason = 'delivery_limit' })
  return false
end

-- A queue that is full drops from its head.
local function drop_overflow(queue)
  if queue.overflow ~= 'drop-head' then return end
  while true do
    local ready = ready_count(queue)
    local over = queue.max_length and ready - queue.max_length or 0
    if over <= 0 and queue.max_bytes and ready > 0 then
      if tonumber(call('HGET', queue.base, 'readyBytes') or 0) > queue.max_bytes then over = 1 end
    end
    if over <= 0 then return end
    local dropped = 0
    for _, lane in ipairs(lanes_of(queue)) do
      for _, entry in ipairs(take_off(queue, lane, over - dropped)) do
        dropped = dropped + 1
        bury(queue, id_of(entry), { reason = 'maxlen' })
      end
      if dropped >= over then break end
    end
    if dropped == 0 then return end
  end
end

-- What was held back and is due now goes to the tail, the earliest first.
local function promote(queue, now)
  local due = call('ZRANGEBYSCORE', queue.base .. ':delayed', '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1000)
  if #due == 0 then return end
  local found = {}
  for index = 1, #due, 2 do found[#found + 1] = { id = due[index], at = tonumber(due[index + 1]) } end
  table.sort(found, function(a, b)
    if a.at ~= b.at then return a.at < b.at end
    return tonumber(a.id) < tonumber(b.id)
  end)
  local ids = {}
  for index = 1, #found do ids[index] = found[index].id end
  call_many('ZREM', queue.base .. ':delayed', ids)
  enqueue(queue, ids)
  if queue.max_length or queue.max_bytes then drop_overflow(queue) end
end

-- What a request that is made again was answered the first time, or nil. Each client's last 64 are remembered.
local function answer_before(queue, client, number)
  local kept = call('HGET', queue.base .. ':requests:' .. client, number % 64)
  local asked, answer = string.match(kept or '', '^(%d+)|(.*)$')
  if asked and tonumber(asked) == number then return answer end
  return nil
end

local function remember_answer(queue, client, number, answer)
  local key = queue.base .. ':requests:' .. client
  local is_new = call('HSET', key, number % 64, whole(number) .. '|' .. answer) == 1
  -- With its first answer, and now and then after it.
  if number % 64 == 1 or (is_new and call('HLEN', key) == 1) then call('PEXPIRE', key, 86400000) end
end

-- A command that is done once, however often it is asked for, as long as its answer is remembered. Client, number and again
-- come before its own arguments; where the queue is not there, so says its list.
local function once(run)
  return function(keys, args)
    if args[3] == '1' then
      local before = answer_before({ base = keys[1] }, args[1], tonumber(args[2]))
      if before then return cjson.decode(before) end
    end
    local queue = open_queue(keys[1])
    if not queue then return { 'missing' } end
    local own = {}
    for index = 4, #args do own[index - 3] = args[index] end
    local reply = run(queue, own)
    remember_answer(queue, args[1], tonumber(args[2]), cjson.encode(reply))
    call('PEXPIRE', queue.base .. ':requests:' .. args[1], 86400000)
    return reply
  end
end
