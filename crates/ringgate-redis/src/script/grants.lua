-- Pause.

local was_paused = math.max(0, paused - now)
if resume > 0 then paused = 0 end
if pause > 0 then paused = math.max(paused, later(pause)) end
local is_open = now >= quiet and now >= paused and not leave and not is_cut

-- What others need: those who have waited longer, and the rest.

if waited > 0 and not is_cut then me.since = math.max(1, now - waited) end
-- The same call, told by a trip that took longer or shorter: it keeps its place, or two could each take the other for the first.
if me.since > 0 and mine and mine.since > 0 and math.abs(me.since - mine.since) <= SAME_CALL then me.since = mine.since end
local function is_before(m)
  if m.since == 0 then return false end
  if me.since == 0 then return true end
  return m.since < me.since or (m.since == me.since and m.id < id)
end

local slots_before, slots_after, slots_others, slots_apart = 0, 0, 0, 0
for _, w in ipairs(windows) do w.before, w.after, w.in_vain, w.kept_free = 0, 0, 0, part_of(w.limit, unknown) end

local function keep_free(m)
  local share = kept_free(m)
  if share > 0 then
    for _, w in ipairs(windows) do w.kept_free = w.kept_free + part_of(w.limit, share) end
  end
  return slot_limit and part_of(slot_limit, share) or 0
end

local slots_of_mine = keep_free(me)
for _, m in ipairs(members) do
  local slots, kept = m.ends > now and m.slots or 0, keep_free(m)
  m.taken = math.max(slots, kept)
  slots_others = slots_others + m.taken
  -- What is kept free, and is not in use as slots of those that are alive.
  slots_apart = slots_apart + math.max(0, kept - slots)
end

-- Whether its first call could go if nobody used anything. One that does not fit beside what is kept free holds back nobody.
local function may_fit(m)
  for i, w in ipairs(windows) do
    local free = math.max(0, w.limit - w.kept_free)
    if need_of(m, i) > free and least_of(m, i) > free then return false end
  end
  return true
end

for _, m in ipairs(members) do
  if m.since > 0 and m.ends > now then
    local more = math.max(0, slots_need_of(m) - m.slots)
    if is_before(m) then slots_before = slots_before + more else slots_after = slots_after + more end
    local place = not may_fit(m) and 'in_vain' or is_before(m) and 'before' or 'after'
    for i, w in ipairs(windows) do w[place] = w[place] + need_of(m, i) end
  end
end

-- Requests and tokens: all that the first call needs, or nothing. Beyond what those in line need, one share of what nobody waits for.

local can_go, never, calls = is_open, false, nil
for _, w in ipairs(windows) do
  w.room = math.max(0, w.limit - w.used - w.held - w.held_by_me - w.kept_free)
  w.free = math.max(0, w.room - w.before)
  if w.free < w.least then can_go = false end
  if w.least > w.limit then never = true end
  -- So many calls can go, if the others need as much as the first.
  if w.least > 0 and w.free < w.need then calls = math.min(calls or LARGEST, math.floor(w.free / w.least)) end
end
local share = alive + 1
if me.since > 0 then me.line = { me.since, slots_need } end
for i, w in ipairs(windows) do
  w.granted = 0
  if can_go then
    w.granted = math.min(w.need, w.free)
    if not calls then
      local rest = math.max(0, w.free - w.need - w.after)
      w.granted = w.granted + math.min(w.want - w.need, math.floor(rest / share))
    elseif w.least > 0 then
      -- What one limit has no room for is not taken of the others.
      w.granted = math.min(w.granted, calls * w.least)
    end
  end
  if w.produced then
    w.held_by_me = math.min(w.held_by_me + w.granted, LARGEST)
  else
    add_now(w, w.granted)
  end
  me.granted[i] = w.granted
  if me.line then
    local need = w.need - math.min(w.need, w.granted)
    -- The next call needs as much as this one, as far as is known.
    me.line[2 + i], me.least[i] = need, math.min(need, w.least)
  else
    me.least[i] = 0
  end
  if w.held_by_me > 0 then me.held = me.held or {} end
end
if me.held then
  for i, w in ipairs(windows) do me.held[i] = w.held_by_me end
end

-- Slots: they are this process's until `ttl` from now. After a loss, what it says it has is believed, and not what
-- may be older state. If others may use a share by themselves, and this one has slots of it, it loses them; those that it
-- has now count until it has the answer. The calls that it has begun by itself go on: it has slots for them as long as these are kept free.
-- All calls in flight count for as long as they go on, also if it is told of fewer slots.
-- What it has given up is free, and it lines up for it behind those who have waited longer. What it was granted by a trip that has no answer it has
-- not given up.

if now < quiet then me.slots = slots_have end
if mine and not unanswered then me.slots = math.min(me.slots, math.max(slots_have, in_flight)) end
if is_cut then me.slots = math.min(me.slots, slots_have) end
local slots_kept = math.max(in_flight, math.min(me.slots, slots_have, slots_want))
if slot_limit then
  local room = math.max(0, slot_limit - slots_others - part_of(slot_limit, unknown))
  local begun = now < me.kept_until and math.min(in_flight, part_of(slot_limit, me.kept)) or 0
  me.slots = math.min(math.max(me.slots, begun), room, slots_want)
  if is_open then
    local free = math.max(0, room - me.slots - slots_before)
    local needed = math.min(math.max(0, slots_need - me.slots), free)
    local rest = math.max(0, free - needed - slots_after)
    local ahead = slots_want - math.max(slots_need, me.slots)
    me.slots = me.slots + needed + math.min(ahead, math.floor(rest / share))
  end
end
if not slot_limit or leave then me.slots, slots_kept = 0, 0 end
local slots_told = me.slots
me.slots = math.max(slots_told, slots_kept)

-- How many of those that are not kept free for others are one's part.

local slots_fair = 0
if slot_limit then
  slots_apart = slots_apart + math.max(0, slots_of_mine - me.slots) + part_of(slot_limit, unknown)
  slots_fair = math.floor(math.max(0, slot_limit - slots_apart) / share)
end

-- When there may be room for what it did not get: when enough cells have left, at the earliest.

local retry, is_behind = math.max(0, quiet - now, paused - now), false
for _, w in ipairs(windows) do
  local all = w.used + w.held + w.held_by_me + w.kept_free
  local more = can_go and math.max(1, math.min(w.least, w.need - w.granted)) or w.least
  local missing = w.before + more - (w.limit - all)
  if (not can_go or w.need > w.granted) and missing > 0 then
    if me.since > 0 and w.before > 0 and more > 0 then is_behind = true end
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
    -- It is not known when others in line have what they need, or give back what they hold: at the next trip that renews.
    if freed < missing then leaves = math.floor(ttl / 3) end
    retry = math.max(retry, leaves)
  end
end

