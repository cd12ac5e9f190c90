-- Exchanges, bindings, and which queues there are: one hash for all of a namespace.
--
--   version      counts changes of what decides on routes
--   epoch        made with the hash: another one means that the first was lost
--   e:<name>     an exchange, as JSON
--   q:<name>     a queue's declaration, as JSON
--   b:<binding>  a binding, as a JSON array: source, kind of destination, destination, routing key, arguments

-- The topology as JSON, and a name for the epoch in case it begins.
function commands.declare(keys, args)
  local key, topology = keys[1], cjson.decode(args[1])
  local function differs(field, text)
    local there = call('HGET', key, field)
    return there and there ~= text
  end
  local declared = {}
  for _, one in ipairs(topology.exchanges) do
    if differs('e:' .. one.name, one.text) then return { 'conflict', 'exchange', one.name, call('HGET', key, 'e:' .. one.name) } end
    declared['exchange' .. one.name] = true
  end
  for _, one in ipairs(topology.queues) do
    local there = call('HGET', key, 'q:' .. one.name)
    if there and there ~= one.text then
      local owner = cjson.decode(there).owner
      local kind = owner and owner ~= cjson.decode(one.text).owner and 'locked' or 'conflict'
      return { kind, 'queue', one.name, there }
    end
    declared['queue' .. one.name] = true
  end
  for _, one in ipairs(topology.bindings) do
    local ends = { { 'exchange', one.source }, { one.destinationType, one.destination } }
    for _, point in ipairs(ends) do
      local field = (point[1] == 'exchange' and 'e:' or 'q:') .. point[2]
      if not declared[point[1] .. point[2]] and call('HEXISTS', key, field) == 0 then
        return { 'missing', point[1], point[2] }
      end
    end
  end
  call('HSETNX', key, 'epoch', args[2])
  local changes = 0
  for _, one in ipairs(topology.exchanges) do changes = changes + call('HSETNX', key, 'e:' .. one.name, one.text) end
  for _, one in ipairs(topology.queues) do call('HSETNX', key, 'q:' .. one.name, one.text) end
  for _, one in ipairs(topology.bindings) do changes = changes + call('HSETNX', key, 'b:' .. one.text, '') end
  if changes > 0 then call('HINCRBY', key, 'version', 1) end
  return { 'ok', call('HGET', key, 'epoch') }
end

-- The names and bindings as JSON. What is missing is no error.
function commands.undeclare(keys, args)
  local key, topology = keys[1], cjson.decode(args[1])
  local gone, sources, changes = {}, {}, 0
  for _, text in ipairs(topology.bindings) do
    local removed = call('HDEL', key, 'b:' .. text)
    if removed == 1 then sources[cjson.decode(text)[1]] = true end
    changes = changes + removed
  end
  for _, name in ipairs(topology.queues) do
    call('HDEL', key, 'q:' .. name)
    gone['queue' .. name] = true
  end
  for _, name in ipairs(topology.exchanges) do
    changes = changes + call('HDEL', key, 'e:' .. name)
    gone['exchange' .. name] = true
  end
  local function sweep()
    local left, more = {}, false
    for _, field in ipairs(call('HKEYS', key)) do
      if string.sub(field, 1, 2) == 'b:' then
        local binding = cjson.decode(string.sub(field, 3))
        if gone['exchange' .. binding[1]] or gone[binding[2] .. binding[3]] then
          call('HDEL', key, field)
          sources[binding[1]] = true
          changes = changes + 1
        else
          left[binding[1]] = true
        end
      end
    end
    for source in pairs(sources) do
      local exchange = not left[source] and call('HGET', key, 'e:' .. source)
      if exchange and cjson.decode(exchange).autoDelete then
        call('HDEL', key, 'e:' .. source)
        gone['exchange' .. source] = true
        more = true
      end
    end
    return more
  end
  if next(gone) or next(sources) then
    while sweep() do end
  end
  if changes > 0 then call('HINCRBY', key, 'version', 1) end
  return 'ok'
end

-- Queues that go when nobody uses them. queue, ms it may stay unused.
function commands.touch(keys, args)
  local now = now_ms()
  for index = 1, #args, 2 do call('ZADD', keys[1], whole(now + tonumber(args[index + 1])), args[index]) end
  return 1
end

-- Those whose time is over.
function commands.overdue(keys)
  return call('ZRANGEBYSCORE', keys[1], '-inf', now_ms(), 'LIMIT', 0, 100)
end

-- Of this library: a newer one replaces it, an older one does not.
function commands.revision()
  return 3
end
