-- Messages on their way to another queue: dead letters, and those that are moved.
--
-- The two queues may live on two servers. So a message that is to go elsewhere waits in `out`, where no consumer finds it;
-- whoever comes by fetches it, imports it under the transfer's name, which the target remembers, and then strikes it off.
-- Whoever dies in between leaves it to the next one, and the target takes it once.

-- limit, leaseMs: for so long nobody else is given them. born, then id, transfer, record of each.
function commands.fetch(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return { 'missing' } end
  local now = now_ms()
  local ids = call('ZRANGEBYSCORE', queue.base .. ':out', '-inf', now, 'LIMIT', 0, tonumber(args[1]))
  local reply = { 'ok', queue.born }
  for _, id in ipairs(ids) do
    local transfer = call('HGET', queue.base .. ':transfers', id)
    local record = call('HGET', queue.base .. ':messages', id)
    if transfer and record then
      call('ZADD', queue.base .. ':out', whole(now + tonumber(args[2])), id)
      reply[#reply + 1] = id
      reply[#reply + 1] = transfer
      reply[#reply + 1] = record
    else
      call('ZREM', queue.base .. ':out', id)
    end
  end
  return reply
end

-- born, then id and what became of it: 'deadLettered', 'dropped', 'moved', '' or 'back'.
function commands.strike(keys, args)
  local queue = open_queue(keys[1])
  if not queue or queue.born ~= args[1] then return 0 end
  for index = 2, #args, 2 do
    local id, fate = args[index], args[index + 1]
    if call('ZREM', queue.base .. ':out', id) == 1 then
      call('HDEL', queue.base .. ':transfers', id)
      if fate == 'back' then
        put_back(queue, id)
      else
        if fate == 'moved' then count(queue, 'published', -1)
        elseif fate ~= '' then count(queue, fate, 1) end
        forget(queue, { id })
      end
    end
  end
  return 1
end

-- to, limit: how many of those that are ready were put on their way.
function commands.send(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return { 'missing' } end
  local limit, sent = tonumber(args[2]), 0
  promote(queue, now_ms())
  for _, lane in ipairs(lanes_of(queue)) do
    for _, entry in ipairs(take_off(queue, lane, limit - sent)) do
      sent = sent + 1
      send_out(queue, id_of(entry), { type = 'move', to = args[1] })
    end
    if sent >= limit then break end
  end
  return { 'ok', sent }
end
