-- Messages come in.

-- 'priority ttl delay window keyBytes dedupeBytes id', with key and dedupe key in front of the id.
local function read_options(text)
  local _, last, priority, ttl, delay, window, key_bytes, dedupe_bytes =
    string.find(text, '^(%d+) (%d*) (%d+) (%d+) (%d+) (%d+)\n')
  if not last then error('options of a message are PRIORITY TTL DELAY WINDOW KEYBYTES DEDUPEBYTES and a newline') end
  local key_end = last + tonumber(key_bytes)
  local dedupe_end = key_end + tonumber(dedupe_bytes)
  return {
    priority = tonumber(priority),
    ttl = tonumber(ttl),
    delay = tonumber(delay),
    window = tonumber(window),
    key = string.sub(text, last + 1, key_end),
    dedupe = string.sub(text, key_end + 1, dedupe_end),
    id = string.sub(text, dedupe_end + 1),
  }
end

local plain = { priority = 0, delay = 0, window = 0, key = '' }

-- Whether a queue that refuses what is too much refuses this.
local function is_full(queue, bytes)
  if queue.overflow == 'drop-head' then return false end
  if queue.max_length and ready_count(queue) + 1 > queue.max_length then return true end
  if not queue.max_bytes then return false end
  return tonumber(call('HGET', queue.base, 'readyBytes') or 0) + bytes > queue.max_bytes
end

-- What comes from another queue tells when it was published (`born`) and when it expires (`expires`).
local function record_of(queue, options, content, now)
  local ttl = options.ttl
  if queue.ttl and (not ttl or queue.ttl < ttl) then ttl = queue.ttl end
  local expires = ttl and now + options.delay + ttl or 0
  local before = options.expires or 0
  if before > 0 and (expires == 0 or before < expires) then expires = before end
  return whole(options.born or now) .. ' ' .. whole(expires) .. ' ' .. whole(options.priority) .. ' ' .. #options.key .. '\n'
    .. options.key .. content
end

-- 's' stored, 'f' full, 'd' and the id of the message that came before it under the same key.
local function publish_one(queue, options, content, now)
  local seen
  if options.window > 0 then
    seen = queue.base .. ':dedupe:' .. queue.born .. ':' .. options.dedupe
    local before = call('GET', seen)
    if before then return 'd' .. before end
  end
  local record = record_of(queue, options, content, now)
  local limited = (queue.max_length or queue.max_bytes) and options.delay == 0
  local full = limited and is_full(queue, body_bytes(record))
  if full and queue.overflow ~= 'reject-publish-dlx' then return 'f' end
  local id = whole(call('HINCRBY', queue.base, 'sequence', 1))
  call('HSET', queue.base .. ':messages', id, record)
  if full then
    count(queue, 'published', 1)
    bury(queue, id, { reason = 'maxlen' })
    return 'f'
  end
  if seen then call('SET', seen, options.id, 'PX', options.window) end
  if options.delay > 0 then
    call('ZADD', queue.base .. ':delayed', whole(now + options.delay), id)
  else
    local lane = lane_of(queue, id, record)
    call('RPUSH', queue.base .. ':ready:' .. lane, id)
    use_lane(queue, lane)
    count_bytes(queue, { id }, 1)
    if limited then drop_overflow(queue) end
  end
  return 's'
end

-- The common case: nothing special about any of the messages, nor about the queue.
local function publish_plain(queue, contents, now)
  local total = #contents
  local last = call('HINCRBY', queue.base, 'sequence', total)
  local head = whole(now) .. ' 0 0 0\n'
  local pairs_of, ids = {}, {}
  for index = 1, total do
    local id = whole(last - total + index)
    ids[index] = id
    pairs_of[2 * index - 1] = id
    pairs_of[2 * index] = head .. contents[index]
  end
  call_many('HSET', queue.base .. ':messages', pairs_of)
  call_many('RPUSH', queue.base .. ':ready:0', ids)
  return total
end

-- Options of a message are nil where there are none.
local function publish_all(queue, args, contents, options)
  -- All of them before anything is stored, for Redis takes nothing back where a script fails.
  for index, text in pairs(options) do options[index] = read_options(text) end
  local now = now_ms()
  local answer = { 'ok' }
  local stored = 0
  local is_plain = next(options) == nil
    and not (queue.ttl or queue.max_length or queue.max_bytes or queue.priorities > 0)
  if is_plain then
    stored = publish_plain(queue, contents, now)
  else
    for index = 1, #contents do
      local result = publish_one(queue, options[index] or plain, contents[index], now)
      answer[#answer + 1] = result
      if result == 's' then stored = stored + 1 end
    end
  end
  count(queue, 'published', stored)
  remember_answer(queue, args[1], tonumber(args[2]), cjson.encode(answer))
  if call('EXISTS', queue.base .. ':waiting') == 1 then wake(queue, stored) end
  if queue.dead_letter and not is_plain and call('EXISTS', queue.base .. ':out') == 1 then answer[1] = 'out' end
  return answer
end

local function published_before(queue, args)
  local before = args[3] == '1' and answer_before(queue, args[1], tonumber(args[2]))
  return before and cjson.decode(before)
end

-- client, number, again ('1': asked before, perhaps), then options and content of each message.
function commands.publish(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return { 'missing' } end
  local before = published_before(queue, args)
  if before then return before end
  local contents, options = {}, {}
  for index = 4, #args, 2 do
    contents[#contents + 1] = args[index + 1]
    if args[index] ~= '' then options[#contents] = args[index] end
  end
  return publish_all(queue, args, contents, options)
end

-- The same, with MessagePack arrays instead: of contents, and of arrays of options and content.
function commands.publish_packed(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return { 'missing' } end
  local before = published_before(queue, args)
  if before then return before end
  local contents, options = {}, {}
  for index = 4, #args do
    for _, message in ipairs(cmsgpack.unpack(args[index])) do
      if type(message) == 'table' then
        options[#contents + 1] = message[1]
        contents[#contents + 1] = message[2]
      else
        contents[#contents + 1] = message
      end
    end
  end
  return publish_all(queue, args, contents, options)
end

-- Who was given messages to bring them here comes no later than this after its time; the clocks of two servers differ.
local transfer_grace = 60000

local function transfer_key(queue, name)
  return queue.base .. ':dedupe:' .. queue.born .. ':transfer:' .. name
end

-- A message from another queue, with its transfer's name: it comes in once, however often it is brought.
-- A queue that is full has nothing to do with what can stay where it is.
-- transfer, options, content, publishedAt, expiresAt (0: never), 'move' or 'dead', until when it was given (absent: no matter). 'stored',
-- 'full', or 'late': others may have brought it long ago.
function commands.import(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return 'missing' end
  local seen = transfer_key(queue, args[1])
  local before = call('GET', seen)
  if before then return before == 'f' and 'full' or 'stored' end
  local options = read_options(args[2])
  options.born, options.expires = tonumber(args[4]), tonumber(args[5])
  local bytes = #args[3] - (string.find(args[3], '\n', 1, true) or 0)
  if args[7] and now_ms() > tonumber(args[7]) + transfer_grace then return 'late' end
  if args[6] == 'move' and is_full(queue, bytes) then return 'full' end
  local result = publish_one(queue, options, args[3], now_ms())
  -- What was refused and buried is dealt with as well.
  local is_taken = result == 's' or queue.overflow == 'reject-publish-dlx'
  if is_taken then call('SET', seen, result, 'PX', 86400000) end
  if result ~= 's' then return 'full' end
  count(queue, 'published', 1)
  wake(queue, 1)
  return 'stored'
end

-- Names of transfers that were struck off: only who was given them before may still bring them.
function commands.brought(keys, args)
  local queue = open_queue(keys[1])
  if not queue then return 'missing' end
  for index = 1, #args do call('PEXPIRE', transfer_key(queue, args[index]), 2 * transfer_grace) end
  return 'ok'
end
