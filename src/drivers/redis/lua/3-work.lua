-- Messages go out to consumers, and are settled.
--
-- A consumer holds what it was handed as long as its lease lasts, which each of its requests renews. Its name is the
-- fencing token: when the lease runs out, what it held goes back, the name is forgotten, and whoever comes late with it
-- is told so.

local function live_key(queue) return queue.base .. ':consumers' end
local function held_key(queue, consumer) return queue.base .. ':held:' .. consumer end

-- The consumer is no more: what it holds goes back to its place.
local function dismiss(queue, consumer, is_attempt)
  local held = call('SMEMBERS', held_key(queue, consumer))
  table.sort(held, by_place)
  for _, entry in ipairs(held) do
    if call('HEXISTS', queue.base .. ':messages', id_of(entry)) == 1 then
      if not is_attempt or attempted(queue, id_of(entry)) then put_back(queue, entry) end
    end
  end
  call('DEL', held_key(queue, consumer))
  call('ZREM', live_key(queue), consumer)
  call('SREM', queue.base .. ':resting', consumer)
  call('SREM', queue.base .. ':waiting', consumer)
  call('ZREM', queue.base .. ':wanting', consumer)
  call('HDEL', queue.base .. ':ranks', consumer)
  for _, role in ipairs({ 'exclusive', 'active' }) do
    if call('HGET', queue.base, role) == consumer then call('HDEL', queue.base, role) end
  end
  return #held
end

-- Consumers whose lease has run out.
local function dismiss_late(queue, now)
  queue.quiet = false
  local late = call('ZRANGEBYSCORE', live_key(queue), '-inf', '(' .. whole(now), 'LIMIT', 0, 100)
  for _, consumer in ipairs(late) do dismiss(queue, consumer, true) end
  return #late
end

-- Of a queue with a single active consumer, whether this is the one.
local function is_active(queue, consumer)
  if not queue.single then return true end
  local active = call('HGET', queue.base, 'active')
  if active and active ~= consumer and call('ZSCORE', live_key(queue), active) then return false end
  if active ~= consumer then call('HSET', queue.base, 'active', consumer) end
  return true
end

-- Expired messages and those that wait for their key are passed over, but not more than so many in one call.
local most_passed = 1000

-- Adds entry, attempts used up, and record of each message handed out.
local function hand_out(queue, lane, credit, now, into)
  local given = 0
  while given < credit and into.passed < most_passed do
    local entries = take_off(queue, lane, credit - given)
    if #entries == 0 then break end
    local ids = {}
    for index = 1, #entries do ids[index] = id_of(entries[index]) end
    local records = list_many('HMGET', queue.base .. ':messages', ids)
    for index = 1, #entries do
      local record = records[index]
      if record then
        local is_taken = true
        if string.sub(record, 14, 20) ~= ' 0 0 0\n' then
          queue.quiet = false
          local expires, _, key = head_of(record)
          if expires > 0 and expires <= now then
            bury(queue, ids[index], { reason = 'expired' })
            is_taken = false
          else
            is_taken = admit(queue, entries[index], ids[index], key)
          end
        end
        if is_taken then
          given = given + 1
          into.entries[#into.entries + 1] = entries[index]
          into.ids[#into.ids + 1] = ids[index]
          into.records[#into.records + 1] = record
        else
          into.passed = into.passed + 1
        end
      end
    end
  end
  return given
end

local function claim(queue, consumer, credit, now)
  local taken = { entries = {}, ids = {}, records = {}, passed = 0 }
  if not queue.paused and credit > 0 and is_active(queue, consumer) then
    local left = credit
    for _, lane in ipairs(lanes_of(queue)) do
      if left == 0 then break end
      left = left - hand_out(queue, lane, left, now, taken)
    end
    call_many('SADD', held_key(queue, consumer), taken.entries)
    count(queue, 'delivered', #taken.entries)
  end
  return taken
end

-- Appends what was taken to the reply.
local function tell(queue, taken, reply)
  local attempts
  if #taken.ids > 0 and not queue.quiet and call('EXISTS', queue.base .. ':attempts') == 1 then
    attempts = list_many('HMGET', queue.base .. ':attempts', taken.ids)
  end
  for index = 1, #taken.entries do
    reply[#reply + 1] = taken.entries[index]
    reply[#reply + 1] = attempts and tonumber(attempts[index] or 0) or 0
    reply[#reply + 1] = taken.records[index]
  end
end

-- Whether one of a higher rank has room, and goes first. It is told to come, if it was not yet.
local function is_outranked(queue, consumer, rank)
  local above = call('ZREVRANGEBYSCORE', queue.base .. ':wanting', '+inf', '(' .. whole(rank))
  if #above > 0 and not queue.paused and ready_count(queue) > 0 then
    for _, other in ipairs(above) do
      if call('SREM', queue.base .. ':waiting', other) == 1 then
        tell_to_come(queue, other)
        break
      end
    end
  end
  return #above > 0
end

-- In how many ms something may be due for a consumer that found too little; -1: nothing that is known.
local function due_in(queue, consumer, now)
  local due
  local delayed = call('ZRANGE', queue.base .. ':delayed', 0, 0, 'WITHSCORES')
  if delayed[2] then due = tonumber(delayed[2]) end
  local others = call('ZRANGE', live_key(queue), 0, 1, 'WITHSCORES')
  for index = 1, #others, 2 do
    local deadline = tonumber(others[index + 1])
    if others[index] ~= consumer and (not due or deadline < due) then due = deadline + 1 end
  end
  return due and math.max(0, due - now) or -1
end

local function is_held(queue, consumer, entries)
  if #entries == 0 then return {}, true end
  local held = list_many('SMISMEMBER', held_key(queue, consumer), entries)
  local all = true
  for index = 1, #held do
    if held[index] == 0 then all = false end
  end
  return held, all
end

-- Done: they leave. '1' for each that was held by this consumer, '0' for the others; '' where all were.
local function acknowledge(queue, consumer, entries)
  if #entries == 0 then return '' end
  if #entries == 1 then
    if call('SREM', held_key(queue, consumer), entries[1]) == 0 then return '0' end
    forget(queue, { id_of(entries[1]) })
    count(queue, 'acked', 1)
    return ''
  end
  local held, all = is_held(queue, consumer, entries)
  local ids, kept, bits = {}, {}, {}
  for index = 1, #entries do
    if held[index] == 1 then
      ids[#ids + 1] = id_of(entries[index])
      kept[#kept + 1] = entries[index]
    end
    if not all then bits[index] = tostring(held[index]) end
  end
  call_many('SREM', held_key(queue, consumer), kept)
  forget(queue, ids)
  count(queue, 'acked', #ids)
  return table.concat(bits)
end

local function hold_back(queue, id, delay, now)
  call('ZADD', queue.base .. ':delayed', whole(now + delay), id)
end

-- One outcome that is no acknowledgement.
local function settle(queue, consumer, entry, outcome, now)
  if call('SREM', held_key(queue, consumer), entry) == 0 then return '0' end
  local id = id_of(entry)
  local kind, delay = outcome[1], tonumber(outcome[2])
  if kind == 'retry' then
    count(queue, 'retried', 1)
    if attempted(queue, id) then
      if delay > 0 then
        hold_back(queue, id, delay, now)
      elseif call('HEXISTS', queue.base .. ':owned', id) == 1 then
        put_back(queue, entry)
      else
        enqueue(queue, { id })
      end
    end
  elseif kind == 'release' then
    if delay > 0 then hold_back(queue, id, delay, now) else put_back(queue, entry) end
  elseif kind == 'dead' then
    bury(queue, id, { reason = 'rejected', account = outcome[3], error = outcome[4] })
  end
  return '1'
end

local function split(text)
  local parts = {}
  for part in string.gmatch(text, '[^ ]+') do parts[#parts + 1] = part end
  return parts
end

-- The reply to a request that was made before and whose reply was lost: the same outcomes, and what is still held of
-- what was handed out.
local function repeat_reply(queue, consumer, before, reply)
  local acks, others, entries_text = string.match(before, '^([01]*),([01]*),(.*)$')
  reply[2], reply[3] = acks, others
  local entries = split(entries_text)
  local held = is_held(queue, consumer, entries)
  local taken = { entries = {}, ids = {}, records = {} }
  for index = 1, #entries do
    local record = held[index] == 1 and call('HGET', queue.base .. ':messages', id_of(entries[index]))
    if record then
      taken.entries[#taken.entries + 1] = entries[index]
      taken.ids[#taken.ids + 1] = id_of(entries[index])
      taken.records[#taken.records + 1] = record
    end
  end
  tell(queue, taken, reply)
  return reply
end

-- client, number, again, consumer, leaseMs, credit, how many acknowledged, their entries, then of each other settlement
-- entry, outcome, delayMs, reason, error. Reply: 'ok', outcomes of both, ms until something is due, '1' where something
-- waits to be brought elsewhere; then entry, attempts and record of each message handed out.
function commands.work(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return { 'missing' } end
  local now = now_ms()
  local client, number, consumer = args[1], tonumber(args[2]), args[4]
  local lease, credit, acks = tonumber(args[5]), tonumber(args[6]), tonumber(args[7])
  local first = call('ZRANGE', live_key(queue), 0, 0, 'WITHSCORES')
  local deadline = first[1] == consumer and first[2] or call('ZSCORE', live_key(queue), consumer)
  -- Each renewal is a write: a tenth of the lease may pass before it, and consumers count on what is left (`surePart`).
  if deadline and tonumber(deadline) - now < lease * 0.9 then
    call('ZADD', live_key(queue), 'XX', 'GT', whole(now + lease), consumer)
  end
  local reply = { 'ok', '', '', -1, '0' }
  if args[3] == '1' then
    local before = answer_before(queue, client, number)
    if before then return repeat_reply(queue, consumer, before, reply) end
  end
  if not deadline then return { 'lost' } end

  listen(queue)
  local acked, others = {}, {}
  for index = 1, acks do acked[index] = args[7 + index] end
  reply[2] = acknowledge(queue, consumer, acked)
  for index = 8 + acks, #args, 5 do
    queue.quiet = false
    local outcome = { args[index + 1], args[index + 2], args[index + 3], args[index + 4] }
    others[#others + 1] = settle(queue, consumer, args[index], outcome, now)
  end
  reply[3] = table.concat(others)

  if first[2] and tonumber(first[2]) < now then dismiss_late(queue, now) end
  if not queue.quiet then
    promote(queue, now)
    call('SREM', queue.base .. ':waiting', consumer)
  end
  -- Who gives something back lets others have it who wait.
  local yields = #others > 0 and call('EXISTS', queue.base .. ':waiting') == 1 and ready_count(queue) > 0
  local rank = not queue.quiet and not queue.single and is_ranked(queue)
    and tonumber(call('HGET', queue.base .. ':ranks', consumer) or 0)
  if rank and is_outranked(queue, consumer, rank) then yields = true end
  local taken = claim(queue, consumer, yields and 0 or credit, now)
  if yields then wake(queue, #others) end
  if rank then
    if #taken.entries < credit then call('ZADD', queue.base .. ':wanting', rank, consumer)
    else call('ZREM', queue.base .. ':wanting', consumer) end
  end
  if #taken.entries < credit then
    call('SADD', queue.base .. ':waiting', consumer)
    reply[4] = taken.passed >= most_passed and 0 or due_in(queue, consumer, now)
  else
    -- What is left is for those who wait.
    if not queue.quiet and call('EXISTS', queue.base .. ':waiting') == 1 and ready_count(queue) > 0 then wake(queue, 1) end
  end
  if acks > 0 or #others > 0 or #taken.entries > 0 then
    local answer = reply[2] .. ',' .. reply[3] .. ',' .. table.concat(taken.entries, ' ')
    remember_answer(queue, client, number, answer)
  end
  if not queue.quiet and call('EXISTS', queue.base .. ':out') == 1 then reply[5] = '1' end
  tell(queue, taken, reply)
  return reply
end

-- consumer, leaseMs, exclusive ('1'), driver, rank (absent: 0). 'ok' and for how long an unused queue stays (0: for ever), or 'refused', 'locked'.
function commands.join(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return { 'missing' } end
  local now = now_ms()
  dismiss_late(queue, now)
  if queue.owner and queue.owner ~= args[4] then return { 'locked' } end
  if call('ZSCORE', live_key(queue), args[1]) then return { 'ok', queue.expires, queue.auto_delete and 1 or 0 } end
  if call('HEXISTS', queue.base, 'exclusive') == 1 then return { 'refused' } end
  local live = call('ZCARD', live_key(queue)) - call('SCARD', queue.base .. ':resting')
  if args[3] == '1' then
    if live > 0 then return { 'refused' } end
    call('HSET', queue.base, 'exclusive', args[1])
  end
  call('ZADD', live_key(queue), whole(now + tonumber(args[2])), args[1])
  local rank = tonumber(args[5] or 0)
  if rank ~= 0 then call('HSET', queue.base .. ':ranks', args[1], whole(rank)) end
  return { 'ok', queue.expires, queue.auto_delete and 1 or 0 }
end

-- consumer: takes no more, and settles what it holds.
function commands.rest(keys, args)
  local queue = open_queue(keys[1])
  if not queue or not call('ZSCORE', live_key(queue), args[1]) then return 'lost' end
  call('SADD', queue.base .. ':resting', args[1])
  call('SREM', queue.base .. ':waiting', args[1])
  call('ZREM', queue.base .. ':wanting', args[1])
  for _, role in ipairs({ 'exclusive', 'active' }) do
    if call('HGET', queue.base, role) == args[1] then call('HDEL', queue.base, role) end
  end
  if queue.single or ready_count(queue) > 0 then wake(queue, 1) end
  return 'ok'
end

-- consumer, leaseMs: whether it is still there.
function commands.extend(keys, args)
  local now = now_ms()
  if call('EXISTS', keys[1]) == 0 or not call('ZSCORE', keys[1] .. ':consumers', args[1]) then return 0 end
  call('ZADD', keys[1] .. ':consumers', 'XX', 'GT', whole(now + tonumber(args[2])), args[1])
  return 1
end
