-- The processes. Each is `what others must know:what only its own trips need`. Lists between semicolons are left out if they say nothing:
--   id,ends,slots,share,from;kept,kept until;since,slots needed,needed of each window;held of each window
--   joined,seq,told,time of the last grant, and for each window: last grant,used; and for each again: least
-- `since` is when its first call in line began to wait, or 0, and `least` is what that needs, as far as it is known. It has its slots until `ends`.
--
-- Shares. While a process is cut off it may use its share of each limit by itself: of a millionth, `told` in its last answer, if that has
-- arrived, and `share` at most. All shares together are never more than all, and one part more than there are processes is made of
-- it: who joins, or comes after one that was killed, finds it free. A process that is cut off says so (`apart`), or is not
-- heard of in time: its share is kept free from `from` on, until `fallback` after `ends`. When it is back, what it may have used by itself is
-- kept free until that has left the windows: `kept` until `kept until`.

local form = '^(%x+),(%d+),(%d+),(%d+),(%d+);([%d,]*);([%d,]*);([%d,]*):(.+)$'

-- A list of so many.
local function numbers(list, count)
  local f, most = {}, 0
  for n in string.gmatch(list, '%d+') do
    n = tonumber(n)
    f[#f + 1] = n
    if n > most then most = n end
  end
  return #f == count and most <= LARGEST and f or nil
end

local function parse(part)
  local id, ends, slots, share, from, kept, line, held, own = string.match(part, form)
  if not id then return nil end
  ends, slots, share, from = tonumber(ends), tonumber(slots), tonumber(share), tonumber(from)
  if ends > LARGEST or slots > LARGEST or share > MILLION or from > LARGEST then return nil end
  local m = {
    id = id, ends = ends, slots = slots, share = share, from = from, kept = 0, kept_until = 0, since = 0, own = own, record = part,
  }
  if kept ~= '' then
    local f = numbers(kept, 2)
    if not f then return nil end
    m.kept, m.kept_until = f[1], f[2]
  end
  if line ~= '' then
    m.line = numbers(line, 2 + #windows)
    if not m.line then return nil end
    m.since = m.line[1]
  end
  if held ~= '' then
    m.held = numbers(held, #windows)
    if not m.held then return nil end
  end
  return m
end

local function slots_need_of(m) return m.line and m.line[2] or 0 end
local function need_of(m, i) return m.line and m.line[2 + i] or 0 end
local function held_of(m, i) return m.held and m.held[i] or 0 end

local function list_of(f)
  local parts = {}
  for i, n in ipairs(f or {}) do parts[i] = text(n) end
  return table.concat(parts, ',')
end

local function record_of(m)
  local kept = m.kept > 0 and { m.kept, m.kept_until } or nil
  local head = m.id .. ',' .. list_of({ m.ends, m.slots, m.share, m.from })
  return table.concat({ head, list_of(kept), list_of(m.line), list_of(m.held) }, ';') .. ':' .. m.own
end

-- What only its own trips need.
local function parse_own(m)
  local f = numbers(m.own, 4 + 3 * #windows)
  if not f then return false end
  m.joined, m.seq, m.told, m.granted_at = f[1], f[2], f[3], f[4]
  m.granted, m.used, m.least = {}, {}, {}
  for i = 1, #windows do
    m.granted[i], m.used[i], m.least[i] = f[3 + 2 * i], f[4 + 2 * i], f[4 + 2 * #windows + i]
  end
  return true
end

local function least_of(m, i)
  if not m.least and not parse_own(m) then return 0 end
  return m.least[i]
end

local function own_of(m)
  local f = { m.joined, m.seq, m.told, m.granted_at }
  for i = 1, #windows do f[3 + 2 * i], f[4 + 2 * i] = m.granted[i], m.used[i] end
  for i = 1, #windows do f[4 + 2 * #windows + i] = m.least[i] end
  return list_of(f)
end

local all, mine = {}, nil
for part in string.gmatch(state.m or '', '[^|]+') do
  local m = parse(part)
  if not m then return { 'broken' } end
  all[#all + 1] = m
  if m.id == id then mine = m end
end
if mine then
  if not parse_own(mine) then return { 'broken' } end
  if mine.seq >= seq then return { 'stale' } end
end

-- Has state been lost? Another server than the one that wrote last may have older state: one that was restarted, or a replica
-- that took over. So may one that does not know what this process has an answer for. Nothing is granted until all that
-- it may have forgotten has left the windows. A hash that is not there is nothing unusual if the server has run for longer. Nor is a process
-- that is known for shorter than it has its answer: an old trip of it has come after it had been forgotten.

local span = ttl
for _, w in ipairs(windows) do
  -- What is held is used within the time to live.
  span = math.max(span, w.kept + 2 * w.tick + (w.produced and ttl or 0))
end

local is_lost = not is_new and not replaced and state.r ~= run
if mine and known_epoch == state.e and acked > mine.seq and (acked_at == 0 or mine.joined <= acked_at) then is_lost = true end
local epoch = state.e
if is_new or is_lost or replaced then epoch = new_epoch end

-- The limit's time. It must never pass faster than true time, not even to catch up: what was granted meanwhile would leave too early.
-- The server's clock may step. A process knows what the limit's time was at its last answer, and by its own clock what has passed
-- since: together that is `vouched`, too little by `slack` at most. If the server's clock has not stepped since that answer, but says
-- less, or more by `slack`, it has stepped now, and the process is believed. A step that is met first by a process without
-- such an answer is not noticed, except that time never goes back.
-- A request that was under way for long looks like a step forwards, and then time has been lost: `late`. Nothing is granted too early by that,
-- but shares begin by true time.

-- A trip is timely if by this it cannot have been under way for longer than MOST_SLACK.

local now, is_timely = clock + offset, false
if vouched > 0 and known_epoch == state.e and known_steps == steps and not is_lost then
  if now < vouched or now > vouched + math.min(slack, MOST_SLACK) then now = vouched else is_timely = true end
end
now = math.max(now, last)
if now ~= clock + offset then is_timely = false end
if now > LARGEST then return { 'arguments' } end
local late = is_new and 0 or math.max(0, clock + offset - now)
if not is_new and now ~= clock + offset then steps = steps + 1 end
offset = now - clock

local function later(length) return math.min(now + length, LARGEST) end

if is_new then
  quiet = later(math.max(0, span - uptime))
  -- The user says that there is nothing that may have been forgotten.
  if unused and known_epoch == '' and acked == 0 then quiet = now end
  -- A process that has an answer of shortly before: all of it has been lost since, however long the server says that it has run.
  if known_epoch ~= '' and acked_at > 0 and vouched > 0 and vouched - acked_at < span then quiet = later(span) end
end
if is_lost then
  quiet = later(span)
  lost = fallback and later(ttl + fallback) or 0
end
if replaced then
  quiet = later(math.max(span, replaced.span))
  -- It may be older state: then there may be more of those processes.
  lost = state.r ~= run and later(math.max(replaced.ttl + replaced.fallback, ttl + (fallback or 0))) or 0
end

-- Those that have not been heard of for too long are forgotten. What they hold counts as used now.

local function is_forgotten(m)
  return now >= m.ends + (m.share > 0 and fallback or 0) and now >= m.kept_until
end

local produced = {}
for i, w in ipairs(windows) do
  if w.produced then produced[#produced + 1] = i end
end
local members, alive, sharing, slots_alive, slots_were, slots_missed, shares = {}, 0, 0, 0, 0, 0, 0
for _, w in ipairs(windows) do w.held, w.were_held, w.left_behind, w.missed = 0, 0, 0, 0 end
for _, m in ipairs(all) do
  if is_lost then
    -- It may be older state. What each of them may use by itself it will say.
    m.share, m.kept, m.kept_until, m.record = 0, 0, 0, nil
  end
  if late > 0 then
    m.from, m.record = math.max(0, m.from - late), nil
  end
  if m.ends > last then
    slots_were = slots_were + m.slots
    if m.since > 0 then
      slots_missed = slots_missed + math.max(0, slots_need_of(m) - m.slots)
      for i, w in ipairs(windows) do w.missed = w.missed + need_of(m, i) end
    end
  end
  local forgotten = is_forgotten(m)
  for _, i in ipairs(produced) do
    local w, held = windows[i], held_of(m, i)
    w.were_held = w.were_held + held
    if m ~= mine and forgotten then w.left_behind = w.left_behind + held end
    if m ~= mine and not forgotten then w.held = w.held + held end
  end
  if m ~= mine and not forgotten then
    members[#members + 1] = m
    shares = shares + m.share
    if m.ends > now then
      alive = alive + 1
      slots_alive = slots_alive + m.slots
    end
    if m.ends > now or m.share > 0 then sharing = sharing + 1 end
  end
end
if #members >= MEMBERS and not leave then return { 'full' } end

-- This one.

local me = {
  id = id, joined = now, seq = seq, ends = later(ttl), slots = 0, since = 0, granted_at = now, told = 0, share = 0, from = now,
  kept = 0, kept_until = 0, granted = {}, used = {}, least = {},
}
if mine and not is_forgotten(mine) then
  me.joined, me.from = mine.joined, mine.from
  if mine.ends > now then me.slots = mine.slots end
  if mine.kept_until > now then me.kept, me.kept_until = mine.kept, mine.kept_until end
end
-- The last grant that it has no answer for: it goes back.
local unanswered = mine and mine.seq > acked and mine or nil

-- One that has no answers, though its trips arrive, must not hold back others.
local is_cut = apart or seq - acked > UNANSWERED

-- What it may take for its share at most. In another epoch it knows that better.
local believed, is_claimed = 0, false
if fallback and acked > 0 then
  if known_epoch == state.e and not is_lost then
    if mine and not is_forgotten(mine) then believed = mine.seq == acked and mine.told or mine.share end
  else
    believed = math.max(mine and mine.share or 0, math.min(claimed, MILLION - shares))
    is_claimed = believed > 0
    -- There may be others like it. All have had their last answers before this epoch began: no claim makes this longer.
    if claimed > 0 and now >= lost then lost = later(ttl + fallback) end
  end
end
if believed > 0 and (apart or is_claimed or now >= me.from) then
  -- It may have used its share until now, and goes on until it has the answer.
  me.kept, me.kept_until = math.max(me.kept, believed), later(span + math.floor(ttl / 3))
end
if apart or is_claimed then
  me.from = math.min(me.from, now)
elseif is_timely or believed == 0 then
  me.from = later(ttl)
end
if fallback and not leave then
  if now < quiet or now < lost then
    -- Nobody gets what another one may claim.
    me.told = believed
  else
    -- Half of what is free at most: something is left for the next one, also where many have come and gone.
    local free = math.max(0, MILLION - shares)
    me.told = math.min(math.floor(MILLION / (sharing + 2)), math.floor(free / 2))
  end
  me.share = math.max(believed, me.told)
end

-- What is kept free of a limit: the shares of those who may use them by themselves, and all that those may use who are not known.

local unknown = now < lost and math.max(0, MILLION - shares - me.share) or 0

local function kept_free(m)
  local share = now >= m.from and m.share or 0
  if now < m.kept_until and m.kept > share then share = m.kept end
  return share
end

-- Exact, also where the product is not.
local function part_of(limit, share)
  local millions = math.floor(limit / MILLION)
  return millions * share + math.floor((limit - millions * MILLION) * share / MILLION)
end

