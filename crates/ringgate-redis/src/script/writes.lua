-- All has been read. The first write is one that a full store refuses.

if is_broken then return { 'broken' } end

me.own = own_of(me)
if not leave then
  members[#members + 1] = me
elseif me.kept_until > now then
  -- Gone, but what it has used by itself still counts.
  me.ends, me.from, me.line = now, now, nil
  members[#members + 1] = me
end
local records = {}
for i, m in ipairs(members) do records[i] = m.record or record_of(m) end
local written = { 't', text(now), 'm', table.concat(records, '|') }
local function write(name, value)
  if state[name] ~= value then
    written[#written + 1] = name
    written[#written + 1] = value
  end
end
write('v', '1')
write('e', epoch)
write('r', run)
write('o', text(offset))
write('j', text(steps))
write('q', text(quiet))
write('p', text(paused))
write('l', text(lost))
write('c', limits)
for i, w in ipairs(windows) do
  write('u' .. i, text(w.used))
  write('a' .. i, text(w.oldest))
  write('z' .. i, text(w.newest))
end
local gone, life_left = replaced and replaced.fields or {}, redis.call('PTTL', key)
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
-- All that may matter, and a day: a step of the server's clock forwards cannot make it expire.
local life = math.ceil((span + ttl + (fallback or 0)) / 1000) + DAY
if life_left < life - DAY / 2 then redis.call('PEXPIRE', key, text(life)) end

-- What others wait for: told to the first in order that can use it, of the first few. Its own trip tells the next one. Who may not publish, or cannot, has done
-- all else.

local function tell(what) redis.pcall(publish, key, what) end

if was_paused ~= math.max(0, paused - now) then tell('pause') end

local is_in_line = me.since > 0 and not leave
local has_room, has_slots = mine and mine.since > 0, mine and mine.since > 0
for i, w in ipairs(windows) do
  w.all = w.used + w.held + w.held_by_me
  local missed = w.before + w.after + w.in_vain + (is_in_line and need_of(me, i) or 0)
  if w.was > w.all or w.was + w.missed > w.all + missed then has_room = true end
end
local slots_miss = slots_before + slots_after + (is_in_line and math.max(0, slots_need - me.slots) or 0)
if slots_were > slots_alive + me.slots or slots_missed > slots_miss then has_slots = true end

local function find_first()
  local line, before, slots_first = {}, {}, 0
  for _, m in ipairs(members) do
    if m.since > 0 and m.ends > now then
      local misses = slots_need_of(m) > m.slots
      for i = 1, #windows do misses = misses or m.line[2 + i] > 0 end
      if misses then line[#line + 1] = m end
    end
  end
  me.taken = math.max(me.slots, slots_of_mine)
  for i = 1, #windows do before[i] = 0 end
  local for_room, for_slots
  for place = 1, math.min(#line, LOOKED_AT) do
    local first = place
    for n = place + 1, #line do
      local a, b = line[n], line[first]
      if a.since < b.since or (a.since == b.since and a.id < b.id) then first = n end
    end
    local m = line[first]
    line[place], line[first] = m, line[place]
    local needs, fits = false, true
    for i, w in ipairs(windows) do
      local need = need_of(m, i)
      if need > 0 then
        needs = true
        if w.limit - w.all - w.kept_free - before[i] < math.max(1, least_of(m, i)) then fits = false end
      end
    end
    if may_fit(m) then
      for i = 1, #windows do before[i] = before[i] + need_of(m, i) end
    end
    if m ~= me and needs and fits and not for_room then for_room = m end
    local misses = math.max(0, slots_need_of(m) - m.slots)
    if slot_limit then
      local taken = slots_others + me.taken - m.taken + m.slots + part_of(slot_limit, unknown)
      if m ~= me and misses > 0 and slot_limit - taken - slots_first > 0 and not for_slots then for_slots = m end
    end
    slots_first = slots_first + misses
    if (for_room or not has_room) and (for_slots or not has_slots) then break end
  end
  return for_room, for_slots
end

-- Whom it is for, and the last trip of it: an answer to a later one tells it, too.
local function name_of(m)
  local is_known = m.seq or parse_own(m)
  return m.id .. ' ' .. (is_known and text(m.seq) or '0')
end

-- Most trips leave nothing that somebody waits for.
local needs_room, leaves_room = false, false
for _, w in ipairs(windows) do
  needs_room = needs_room or w.before + w.after > 0
  leaves_room = leaves_room or w.limit - w.all - w.kept_free > 0
end
has_room = has_room and needs_room and leaves_room
has_slots = has_slots and slot_limit and slots_before + slots_after > 0 and slots_alive + me.slots < slot_limit
if (has_room or has_slots) and now >= quiet and now >= paused then
  local for_room, for_slots = find_first()
  if has_room and for_room then tell('room ' .. name_of(for_room)) end
  if has_slots and for_slots then tell('slots ' .. name_of(for_slots)) end
end

local reply = {
  'ok', epoch, now, steps, math.max(0, paused - now), math.max(0, quiet - now), never and -1 or retry,
  is_behind and 1 or 0, share, slots_told, slots_before + slots_after, slots_fair, me.told,
}
for _, w in ipairs(windows) do
  local used = math.min(w.all, LARGEST)
  for _, n in ipairs({ w.granted, used, math.min(w.before + w.after, LARGEST) }) do reply[#reply + 1] = n end
end
return reply
