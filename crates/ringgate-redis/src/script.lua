-- ringgate: the limits that many processes share. One call of this script is one trip of one process.
--
-- For people who run the store:
--   * Everything of a limit is in one hash, KEYS[1]. It can be deleted: the limit then starts anew, and processes that
--     run notice by the epoch. If one of them comes first, nothing is granted until what was used before has left the windows. It
--     expires a day after it has last mattered.
--   * Work and memory are bounded: at most TICKS cells for each of WINDOWS windows, and MEMBERS processes.
--   * The script writes nothing before it has read all it needs. If it fails, nothing has changed.
--   * It uses TIME, INFO, HMGET, HLEN, PTTL, HSET, HDEL, PEXPIRE, and PUBLISH (in a cluster SPUBLISH) on the channel KEYS[1].
--     Nothing depends on what is published: it makes others ask earlier. It names a process, and the last trip of it.
--
-- It is in parts, which are joined: script.lua (arguments, state, time), script/processes.lua, windows.lua, grants.lua, writes.lua.
--
-- Fields of the hash (times in microseconds of the limit's own time, see below):
--   v      version of this form
--   e      epoch: another word after state may have been lost
--   r      run id of the server that wrote last
--   t, o   the limit's time at the last call; what is added to the server's clock to get it
--   j      how often the server's clock has stepped
--   q, p   nothing is granted before q (state may have been lost), and before p (a process has asked for a pause)
--   l      until then there may be processes that the store has lost, and that go on by themselves: since older state was found, or
--          a process told of a share that it has from another epoch
--   c      the limits, as text: all processes must have the same
--   m      the processes, as text: see processes.lua
--   u<i>   what window i contains: the sum of its cells
--   a<i>, z<i>   the oldest and the newest tick that may have a cell
--   <i>:<block>   the cells of BLOCK ticks: their sum, and `place=amount` of each tick in which something was granted
--
-- How a window counts: a grant at time s belongs to the tick floor(s / tick). It counts until the tick's END is `kept` old.
-- So it counts for `kept` at least, and for two ticks more at most. `kept` is the window, the margin and the length of a lease:
-- a lease that is spent at any time before it ends is then within the limit in every window.
-- Where the provider counts what is produced, a grant is in no cell. It is held by its process until that says that it was used: then
-- it is in the cell of that time. The window is what was used and what is held.
--
-- Which order: a process says for how long its first call in line has waited. What those need who have waited longer is kept for them.

local TICKS = 1100
local BLOCK = 32
local MEMBERS = 256
local WINDOWS = 8
local RETURNS = 64
local UNANSWERED = 3
local LOOKED_AT = 8
local MOST_SLACK = 1000000
local MILLION = 1000000
local SAME_CALL = 20000
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
local id, seq, acked, acked_at = word(), whole(), whole(), whole()
local known_epoch, new_epoch = word(), word()
local vouched, slack, known_steps, ttl = whole(), whole(), whole(), whole()
local pause, resume, leave = whole(), whole(), whole() > 0
local slot_limit, slots_have, in_flight, slots_need, slots_want = word(), whole(), whole(), whole(), whole()
local waited = whole()
local fallback, apart, claimed, unused = word(), whole() > 0, whole(), whole() > 0
local windows = {}
for i = 1, math.min(whole(), WINDOWS) do
  local w = {
    limit = whole(), kept = whole(), tick = whole(), produced = whole() > 0, least = whole(), need = whole(), want = whole(),
    told = whole(), told_acked = whole(), held_by_me = whole(),
  }
  w.i = i
  if w.tick < 1 then bad = true; w.tick = 1 end
  w.back = math.ceil(w.kept / w.tick)
  if w.back > TICKS - 2 or w.least > w.need or w.need > w.want then bad = true end
  if not w.produced then w.held_by_me = 0 end
  windows[i] = w
end
local returns = {}
for i = 1, math.min(whole(), RETURNS) do
  local r = { window = whole(), granted_at = whole(), amount = whole() }
  if not windows[r.window] or windows[r.window].produced then bad = true end
  returns[i] = r
end
if version ~= '1' then return { 'version' } end
if slot_limit == '' then slot_limit = nil else slot_limit = number(slot_limit); bad = bad or not slot_limit end
if fallback == '' then fallback = nil else fallback = number(fallback); bad = bad or not fallback end
if bad or at ~= #ARGV or not string.match(id, '^%x+$') or #id > 32 or not string.match(new_epoch, '^%x+$') or #new_epoch > 16
  or slots_need > slots_want or seq < 1 then
  return { 'arguments' }
end

-- The server: its clock, which run of it this is, and since when.

local clock, run, uptime
local publish = 'PUBLISH'
if test_clock ~= '' then
  clock, run, uptime = number(test_clock), test_run, number(test_uptime)
  if not clock then return { 'arguments' } end
else
  local time = redis.call('TIME')
  clock = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local info = redis.call('INFO', 'server')
  run = string.match(info, 'run_id:(%x+)')
  if string.find(info, '_mode:cluster', 1, true) then publish = 'SPUBLISH' end
  uptime = tonumber(string.match(info, 'uptime_in_seconds:(%d+)') or '')
  uptime = uptime and uptime * 1000000
end
if not run or run == '' or not uptime then return { 'unidentified' } end

-- The state.

local names = { 'v', 'e', 'r', 't', 'o', 'j', 'q', 'p', 'l', 'c', 'm' }
for i = 1, #windows do
  for _, field in ipairs({ 'u', 'a', 'z' }) do names[#names + 1] = field .. i end
end
local read = redis.call('HMGET', key, unpack(names))
local state = {}
for i, name in ipairs(names) do state[name] = read[i] end

local is_new = not state.v
if is_new and redis.call('HLEN', key) > 0 then return { 'foreign' } end
if not is_new and state.v ~= '1' then return { 'foreign' } end

local limits = { tostring(slot_limit and text(slot_limit)), text(ttl), tostring(fallback and text(fallback)) }
for i, w in ipairs(windows) do
  limits[i + 3] = text(w.limit) .. '/' .. text(w.kept) .. '/' .. text(w.tick) .. (w.produced and '/produced' or '')
end
limits = table.concat(limits, ' ')
local offset, last, steps, quiet, paused, lost = 0, 0, 0, 0, 0, 0
if not is_new then
  offset, last, steps = signed(state.o), number(state.t), number(state.j)
  quiet, paused, lost = number(state.q), number(state.p), number(state.l)
  if not (offset and last and steps and quiet and paused and lost and state.m and #(state.e or '') <= 16
    and string.match(state.e or '', '^%x+$')) then return { 'broken' } end
end

-- Other limits than those of the state are an error, until all processes that had them have gone or been silent for so long that none of them
-- uses a share by itself. Then another epoch begins, that waits until what they have used has left the windows.

local replaced

local function find_replaced()
  local words, fields = {}, {}
  for w in string.gmatch(state.c or '', '%S+') do words[#words + 1] = w end
  local old = { ttl = number(words[2]), fallback = number(words[3]) or 0, blocks = {}, fields = {} }
  if not old.ttl or #words > 3 + WINDOWS then return nil end
  old.span = old.ttl
  for i = 1, #words - 3 do
    local kept, tick, form = string.match(words[i + 3], '^%d+/(%d+)/(%d+)(.*)$')
    kept, tick = number(kept), number(tick)
    if not kept or not tick then return nil end
    old.span = math.max(old.span, kept + 2 * tick + (form ~= '' and old.ttl or 0))
    for _, field in ipairs({ 'u', 'a', 'z' }) do fields[#fields + 1] = field .. i end
  end
  local ends = lost
  for part in string.gmatch(state.m, '[^|]+') do
    local until_then, share = string.match(part, '^%x+,(%d+),%d+,(%d+),%d+;')
    until_then, share = number(until_then), number(share)
    if not until_then or not share then return nil end
    ends = math.max(ends, until_then + (share > 0 and old.fallback or 0))
  end
  if math.max(clock + offset, last) < ends then return nil end
  local values = #fields > 0 and redis.call('HMGET', key, unpack(fields)) or {}
  for i = 1, #fields / 3 do
    local first, newest = number(values[3 * i - 1]), number(values[3 * i])
    if not first or not newest or newest - first > TICKS then return nil end
    for b = math.floor(first / BLOCK), math.floor(newest / BLOCK) do
      old.blocks[#old.blocks + 1] = i .. ':' .. text(b)
    end
    if i > #windows then
      for n = 3 * i - 2, 3 * i do old.fields[#old.fields + 1] = fields[n] end
    end
  end
  return old
end

if not is_new and state.c ~= limits then
  replaced = find_replaced()
  if not replaced then return { 'limits', state.c or '' } end
  state.m, known_epoch = '', ''
end

