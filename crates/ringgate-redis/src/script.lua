-- ringgate: the limits that many processes share. One call of this script is one trip of one process.
--
-- For people who run the store:
--   * Everything of a limit is in one hash, KEYS[1]. It can be deleted: the limit then starts anew, and processes that
--     run notice by the epoch. It expires a day after it has last mattered.
--   * Work and memory are bounded: at most TICKS cells for each of WINDOWS windows, and MEMBERS processes.
--   * The script writes nothing before it has read all it needs. If it fails, nothing has changed.
--   * It uses TIME, INFO, HMGET, HLEN, HSET, HDEL and PEXPIRE.
--
-- Fields of the hash (times in microseconds of the limit's own time, see below):
--   v      version of this form
--   e      epoch: another word after state may have been lost
--   r      run id of the server that wrote last
--   t, o   the limit's time at the last call; what is added to the server's clock to get it
--   j      how often the server's clock has stepped
--   q, p   nothing is granted before q (state may have been lost), and before p (a process has asked for a pause)
--   c      the limits, as text: all processes must have the same
--   m      the processes, as text: see `members`
--   u<i>   what window i contains: the sum of its cells
--   a<i>, z<i>   the oldest and the newest tick that may have a cell
--   <i>:<block>   the cells of BLOCK ticks: their sum, and `place=amount` of each tick in which something was granted
--
-- How a window counts: a grant at time s belongs to the tick floor(s / tick). It counts until the tick's END is `kept` old.
-- So it counts for `kept` at least, and for two ticks more at most. `kept` is the window, the margin and the length of a lease:
-- a lease that is spent at any time before it ends is then within the limit in every window.
--
-- Which order: a process says for how long its first call in line has waited. What those need who have waited longer is kept for them.

local TICKS = 1100
local BLOCK = 32
local MEMBERS = 256
local WINDOWS = 8
local RETURNS = 64
local MOST_SLACK = 1000000
local DAY = 86400000
local LARGEST = 2 ^ 52

local key = KEYS[1]

-- Arguments. Whatever is not a whole number from 0 to 2^52 makes the call fail before anything is written.

local at = 0
local bad = false

local function word()
  at = at + 1
  local w = ARGV[at]
  if not w then bad = true end
  return w or ''
end

local function number(text)
  local n = tonumber(text)
  if not n or n < 0 or n > LARGEST or n ~= math.floor(n) then return nil end
  return n
end

-- Of a difference of times.
local function signed(text)
  local n = tonumber(text)
  if not n or math.abs(n) > LARGEST or n ~= math.floor(n) then return nil end
  return n
end

local function whole()
  local n = number(word())
  if not n then bad = true end
  return n or 0
end

local function text(n) return string.format('%.0f', n) end

local version = word()
local test_clock, test_run, test_uptime = word(), word(), word()
local id, seq, acked = word(), whole(), whole()
local known_epoch, new_epoch = word(), word()
local vouched, slack, known_steps, ttl = whole(), whole(), whole(), whole()
local pause, resume, leave = whole(), whole(), whole()
local slot_limit, slots_have, slots_need, slots_want = word(), whole(), whole(), whole()
local waited = whole()
local fallback, apart, claimed, unused = word(), whole(), whole(), whole()
local windows = {}
for i = 1, math.min(whole(), WINDOWS) do
  local w = {
    limit = whole(), kept = whole(), tick = whole(), produced = whole() > 0, least = whole(), need = whole(), want = whole(),
    told = whole(), told_acked = whole(), held = whole(),
  }
  w.i = i
  if w.tick < 1 then bad = true; w.tick = 1 end
  w.back = math.ceil(w.kept / w.tick)
  if w.back > TICKS - 2 or w.least > w.need or w.need > w.want then bad = true end
  windows[i] = w
end
local returns = {}
for i = 1, math.min(whole(), RETURNS) do
  local r = { window = whole(), granted_at = whole(), amount = whole() }
  if not windows[r.window] then bad = true end
  returns[i] = r
end
if version ~= '1' then return { 'version' } end
if slot_limit == '' then slot_limit = nil else slot_limit = number(slot_limit); bad = bad or not slot_limit end
if bad or at ~= #ARGV or not string.match(id, '^%x+$') or #id > 32 or not string.match(new_epoch, '^%x+$') or #new_epoch > 16
  or slots_need > slots_want or seq < 1 then
  return { 'arguments' }
end

-- The server: its clock, which run of it this is, and since when.

local clock, run, uptime
if test_clock ~= '' then
  clock, run, uptime = number(test_clock), test_run, number(test_uptime)
  if not clock or not uptime then return { 'arguments' } end
else
  local time = redis.call('TIME')
  clock = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local info = redis.call('INFO', 'server')
  run = string.match(info, 'run_id:(%x+)') or ''
  uptime = (tonumber(string.match(info, 'uptime_in_seconds:(%d+)')) or 0) * 1000000
end

-- The state.

local names = { 'v', 'e', 'r', 't', 'o', 'j', 'q', 'p', 'c', 'm' }
for i = 1, #windows do
  for _, field in ipairs({ 'u', 'a', 'z' }) do names[#names + 1] = field .. i end
end
local read = redis.call('HMGET', key, unpack(names))
local state = {}
for i, name in ipairs(names) do state[name] = read[i] end

local is_new = not state.v
if is_new and redis.call('HLEN', key) > 0 then return { 'foreign' } end
if not is_new and state.v ~= '1' then return { 'foreign' } end

local limits = { tostring(slot_limit and text(slot_limit)), text(ttl) }
for i, w in ipairs(windows) do limits[i + 2] = text(w.limit) .. '/' .. text(w.kept) .. '/' .. text(w.tick) end
limits = table.concat(limits, ' ')
if not is_new and state.c ~= limits then return { 'limits', state.c or '' } end

local offset, last, steps, quiet, paused = 0, 0, 0, 0, 0
if not is_new then
  offset, last, steps = signed(state.o), number(state.t), number(state.j)
  quiet, paused = number(state.q), number(state.p)
  if not (offset and last and steps and quiet and paused and state.m and #(state.e or '') <= 16
    and string.match(state.e or '', '^%x+$')) then return { 'broken' } end
end

-- The processes. Each is `id,joined,seq,until,slots,since,slots needed,time of the last grant` and for each window
-- `,needed,last grant`. `since` is when its first call in line began to wait, or 0.

local form = '^(%x+)' .. string.rep(',(%d+)', 7 + 2 * #windows) .. '$'

local function parse(record)
  local f = { string.match(record, form) }
  if #f ~= 8 + 2 * #windows then return nil end
  for i = 2, #f do
    f[i] = tonumber(f[i])
    if f[i] > LARGEST then return nil end
  end
  local m = {
    id = f[1], joined = f[2], seq = f[3], ends = f[4], slots = f[5], since = f[6], slots_need = f[7], granted_at = f[8],
    need = {}, granted = {}, record = record,
  }
  for i = 1, #windows do m.need[i], m.granted[i] = f[7 + 2 * i], f[8 + 2 * i] end
  return m
end

local function record(m)
  local f = { m.id }
  for i, name in ipairs({ 'joined', 'seq', 'ends', 'slots', 'since', 'slots_need', 'granted_at' }) do
    f[i + 1] = text(m[name])
  end
  for i = 1, #windows do
    f[#f + 1] = text(m.need[i])
    f[#f + 1] = text(m.granted[i])
  end
  return table.concat(f, ',')
end

local all = {}
for part in string.gmatch(state.m or '', '[^|]+') do
  local m = parse(part)
  if not m then return { 'broken' } end
  all[#all + 1] = m
end

-- Has state been lost? Another server than the one that wrote last may have older state: one that was restarted, or a replica
-- that took over. So may one that does not know what this process has an answer for. Nothing is granted until all that
-- it may have forgotten has left the windows. A hash that is not there is nothing unusual if the server has run for longer.

local span = ttl
for _, w in ipairs(windows) do span = math.max(span, w.kept + 2 * w.tick) end

local is_lost = not is_new and state.r ~= run
for _, m in ipairs(all) do
  if m.id == id and known_epoch == state.e and acked > m.seq then is_lost = true end
end
local epoch = state.e
if is_new or is_lost then epoch = new_epoch end

-- The limit's time. It must never pass faster than true time, not even to catch up: what was granted meanwhile would leave too early.
-- The server's clock may step. A process knows what the limit's time was at its last answer, and by its own clock what has passed
-- since: together that is `vouched`, too little by `slack` at most. If the server's clock has not stepped since that answer, but says
-- less, or more by `slack`, it has stepped now, and the process is believed. A step that is met first by a process without
-- such an answer is not noticed, except that time never goes back.

local now = clock + offset
if vouched > 0 and known_epoch == state.e and known_steps == steps and not is_lost then
  if now < vouched or now > vouched + math.min(slack, MOST_SLACK) then now = vouched end
end
now = math.max(now, last)
if now > LARGEST then return { 'arguments' } end
if not is_new and now ~= clock + offset then steps = steps + 1 end
offset = now - clock

if is_new then quiet = now + math.max(0, span - uptime) end
if is_lost then quiet = now + span end

-- Processes that have not been heard of for too long, and this one.

local members, me, slots_others = {}, nil, 0
for _, m in ipairs(all) do
  if m.id == id then
    if m.seq >= seq then return { 'stale' } end
    me = m
  end
  if m.ends > now and m.id ~= id then
    members[#members + 1] = m
    slots_others = slots_others + m.slots
  end
end
if #members >= MEMBERS and leave == 0 then return { 'full' } end
local unknown = me
if not me or me.ends <= now then
  me = { id = id, joined = now, slots = 0, granted_at = 0, need = {}, granted = {} }
end
me.record = nil
-- The last grant that it has no answer for: it goes back.
local unanswered = unknown and unknown.seq > acked and unknown or nil

-- The windows: what has left them, what comes back. A block is a table of its cells, by their place in it, with their sum.

local blocks, is_changed, is_broken = {}, {}, false

local function block_name(w, b) return w.i .. ':' .. text(b) end

local function read_block(name, value, has_left)
  local block = { sum = 0 }
  if has_left then
    -- Its sum is enough.
    block.sum = value and number(string.match(value, '^(%d+)')) or 0
    blocks[name] = block
    return
  end
  for place, amount in string.gmatch(value or '', '(%d+)=(%d+)') do
    place, amount = tonumber(place), number(amount)
    if not amount or place >= BLOCK or block[place] then is_broken = true; return end
    block[place] = amount
    block.sum = block.sum + amount
  end
  if value and value ~= '' and number(string.match(value, '^(%d+)')) ~= block.sum then is_broken = true end
  blocks[name] = block
end

local function block_of(w, tick)
  local name = block_name(w, math.floor(tick / BLOCK))
  if not blocks[name] then read_block(name, redis.call('HMGET', key, name)[1]) end
  return blocks[name], tick % BLOCK, name
end

local function add(w, tick, amount)
  local block, place, name = block_of(w, tick)
  if is_broken then return end
  block[place] = (block[place] or 0) + amount
  block.sum = block.sum + amount
  w.used = w.used + amount
  is_changed[name] = true
end

local function give_back(w, granted_at, amount)
  local tick = math.floor(granted_at / w.tick)
  if tick < w.first or tick > w.newest then return end
  local block, place = block_of(w, tick)
  if not is_broken then add(w, tick, -math.min(amount, block[place] or 0, w.used)) end
end

local wanted, has_left = {}, {}
for i, w in ipairs(windows) do
  w.now = math.floor(now / w.tick)
  w.first = w.now - w.back
  w.used, w.oldest, w.newest = 0, w.now, w.now
  if not is_new then
    w.used, w.oldest, w.newest = number(state['u' .. i]), number(state['a' .. i]), number(state['z' .. i])
    if not (w.used and w.oldest and w.newest) or w.newest - w.oldest > TICKS or w.newest > w.now then
      return { 'broken' }
    end
    if w.oldest < w.first then
      local last = math.min(w.newest, w.first - 1)
      for b = math.floor(w.oldest / BLOCK), math.floor(last / BLOCK) do
        wanted[#wanted + 1] = block_name(w, b)
        has_left[#wanted] = (b + 1) * BLOCK <= w.first
      end
    end
    wanted[#wanted + 1] = block_name(w, math.floor(w.now / BLOCK))
  end
end
if #wanted > 0 then
  local values = redis.call('HMGET', key, unpack(wanted))
  for n, name in ipairs(wanted) do read_block(name, values[n], has_left[n]) end
end
for i, w in ipairs(windows) do
  local last = math.min(w.newest, w.first - 1)
  for b = math.floor(w.oldest / BLOCK), math.floor(last / BLOCK) do
    local name = block_name(w, b)
    local block = blocks[name]
    if is_broken or not block or w.oldest > last then break end
    if (b + 1) * BLOCK <= w.first then
      w.used = math.max(0, w.used - block.sum)
      block.sum = 0
      is_changed[name] = true
    end
    for place in pairs(block) do
      if place ~= 'sum' and b * BLOCK + place <= last then
        w.used = math.max(0, w.used - block[place])
        block.sum = block.sum - block[place]
        block[place] = nil
        is_changed[name] = true
      end
    end
  end
  w.oldest = math.max(w.oldest, w.first)
  if w.oldest > w.newest then w.oldest, w.newest, w.used = w.now, w.now, 0 end
  if unanswered then give_back(w, unanswered.granted_at, unanswered.granted[i]) end
end
-- Only what was granted since the process was known: a trip that arrives again after it was forgotten gives nothing back again.
for _, r in ipairs(returns) do
  if r.granted_at >= me.joined then give_back(windows[r.window], r.granted_at, r.amount) end
end

-- Pause.

if resume > 0 then paused = 0 end
paused = math.max(paused, pause > 0 and math.min(now + pause, LARGEST) or 0)
local is_open = now >= quiet and now >= paused and leave == 0

-- What others need: those who have waited longer, and the rest.

me.since = waited > 0 and math.max(1, now - waited) or 0
local function is_before(m)
  if m.since == 0 then return false end
  if me.since == 0 then return true end
  return m.since < me.since or (m.since == me.since and m.id < id)
end

local slots_before, slots_after = 0, 0
for _, w in ipairs(windows) do w.before, w.after = 0, 0 end
for _, m in ipairs(members) do
  if m.since > 0 then
    local more = math.max(0, m.slots_need - m.slots)
    if is_before(m) then slots_before = slots_before + more else slots_after = slots_after + more end
    for i, w in ipairs(windows) do
      if is_before(m) then w.before = w.before + m.need[i] else w.after = w.after + m.need[i] end
    end
  end
end

-- Requests and tokens: all that the first call needs, or nothing. Beyond what those in line need, one share of what nobody waits for.

local can_go, never = is_open, false
for _, w in ipairs(windows) do
  w.room = math.max(0, w.limit - w.used)
  w.free = math.max(0, w.room - w.before)
  if w.free < w.least then can_go = false end
  if w.least > w.limit then never = true end
end
local share = #members + 1
for i, w in ipairs(windows) do
  w.granted = 0
  if can_go then
    w.granted = math.min(w.need, w.free)
    local rest = math.max(0, w.free - w.need - w.after)
    w.granted = w.granted + math.min(w.want - w.need, math.floor(rest / share))
  end
  if w.granted > 0 then
    add(w, w.now, w.granted)
    w.newest = w.now
  end
  me.granted[i] = w.granted
  me.need[i] = me.since > 0 and w.need - math.min(w.need, w.granted) or 0
end

-- Slots: they are this process's until `ttl` from now. After a loss, what it says it has is believed, and not what
-- may be older state.

if now < quiet then me.slots = slots_have end
if slots_want <= me.slots then
  me.slots = slots_want
elseif slot_limit and is_open then
  local free = math.max(0, slot_limit - slots_others - me.slots - slots_before)
  local needed = math.min(math.max(0, slots_need - me.slots), free)
  local rest = math.max(0, free - needed - slots_after)
  local ahead = slots_want - math.max(slots_need, me.slots)
  me.slots = me.slots + needed + math.min(ahead, math.floor(rest / share))
end
if not slot_limit then me.slots = 0 end
me.slots_need = me.since > 0 and slots_need or 0
me.seq, me.ends, me.granted_at = seq, now + ttl, now

-- When there may be room for what it did not get: when enough cells have left, at the earliest.

local retry = math.max(0, quiet - now, paused - now)
for _, w in ipairs(windows) do
  local missing = w.before + (can_go and 1 or w.least) - (w.limit - w.used)
  if (not can_go or w.need > w.granted) and missing > 0 then
    local names, oldest = {}, math.floor(w.oldest / BLOCK)
    for b = oldest, math.floor(w.newest / BLOCK) do names[#names + 1] = block_name(w, b) end
    local values, freed, leaves = redis.call('HMGET', key, unpack(names)), 0, nil
    for n, name in ipairs(names) do
      if not blocks[name] then read_block(name, values[n]) end
      if is_broken then break end
      local first = (oldest + n - 1) * BLOCK
      for place = 0, BLOCK - 1 do
        local sum = blocks[name][place] or 0
        if sum > 0 then leaves = (first + place + 1 + w.back) * w.tick - now end
        freed = freed + sum
        if freed >= missing then break end
      end
      if freed >= missing then break end
    end
    -- With no cell it is others in line who need that much: at the next trip that renews.
    retry = math.max(retry, leaves or math.floor(ttl / 3))
  end
end

-- All has been read. The first write is one that a full store refuses.

if is_broken then return { 'broken' } end

if leave == 0 then members[#members + 1] = me end
local records = {}
for i, m in ipairs(members) do records[i] = m.record or record(m) end
local written = {
  'v', '1', 'e', epoch, 'r', run, 't', text(now), 'o', text(offset), 'j', text(steps), 'q', text(quiet), 'p', text(paused),
  'c', limits, 'm', table.concat(records, '|'),
}
local function write(name, value)
  written[#written + 1] = name
  written[#written + 1] = value
end
for i, w in ipairs(windows) do
  write('u' .. i, text(w.used))
  write('a' .. i, text(w.oldest))
  write('z' .. i, text(w.newest))
end
local gone = {}
for name in pairs(is_changed) do
  local block = blocks[name]
  if block.sum > 0 then
    local parts = { text(block.sum) }
    for place = 0, BLOCK - 1 do
      if (block[place] or 0) > 0 then parts[#parts + 1] = place .. '=' .. text(block[place]) end
    end
    write(name, table.concat(parts, ' '))
  else
    gone[#gone + 1] = name
  end
end
redis.call('HSET', key, unpack(written))
if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
redis.call('PEXPIRE', key, text(math.ceil(span / 1000) + DAY))

local reply = {
  'ok', epoch, now, steps, math.max(0, paused - now), math.max(0, quiet - now), never and -1 or retry,
  share, leave == 0 and me.slots or 0, slots_before + slots_after, 0,
}
for _, w in ipairs(windows) do
  for _, n in ipairs({ w.granted, w.used, w.before + w.after }) do reply[#reply + 1] = n end
end
return reply
