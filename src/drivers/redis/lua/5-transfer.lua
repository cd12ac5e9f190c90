-- Messages on their way to another queue: dead letters, and those that are moved.
--
-- The two queues may live on two servers. So a message that is to go elsewhere waits in `out`, where no consumer finds it;
-- whoever comes by fetches it, imports it under the transfer's name, which the target remembers, and then strikes it off.
-- Whoever dies in between leaves it to the next one, and the target takes it once.

-- client, number, again, limit, leaseMs: for so long nobody else is given them. born, until when that is, then id,
-- transfer, record of each.
function commands.fetch(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return { 'missing' } end
  local client, number = args[1], tonumber(args[2])
  local now = now_ms()
  local until_ms = whole(now + tonumber(args[5]))
  local before = args[3] == '1' and answer_before(queue, client, number)
  local ids = before and split(before)
    or call('ZRANGEBYSCORE', queue.base .. ':out', '-inf', now, 'LIMIT', 0, tonumber(args[4]))
  local reply = { 'ok', queue.born, until_ms }
  for _, id in ipairs(ids) do
    local transfer = call('HGET', queue.base .. ':transfers', id)
    local record = call('HGET', queue.base .. ':messages', id)
    if transfer and record then
      call('ZADD', queue.base .. ':out', until_ms, id)
      reply[#reply + 1] = id
      reply[#reply + 1] = transfer
      reply[#reply + 1] = record
    else
      call('ZREM', queue.base .. ':out', id)
    end
  end
  if #ids > 0 then
    remember_answer(queue, client, number, table.concat(ids, ' '))
    call('PEXPIRE', queue.base .. ':requests:' .. client, 86400000)
  end
  return reply
end

-- client, number, again, born, until, then id and what became of it: 'deadLettered', 'dropped', 'moved', '' or 'back'. Back
-- goes only what nobody else was given meanwhile, who may have brought it.
commands.strike = once(function(queue, args)
  if queue.born ~= args[1] then return { 'ok', 0 } end
  local struck = 0
  for index = 3, #args, 2 do
    local id, fate = args[index], args[index + 1]
    local given = call('ZSCORE', queue.base .. ':out', id)
    if given and (fate ~= 'back' or tonumber(given) == tonumber(args[2])) then
      struck = struck + 1
      call('ZREM', queue.base .. ':out', id)
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
  return { 'ok', struck }
end)

-- client, number, again, to, limit: how many of those that are ready were put on their way.
commands.send = once(function(queue, args)
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
end)
