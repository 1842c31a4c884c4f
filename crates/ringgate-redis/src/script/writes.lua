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
local gone, life_left = {}, redis.call('PTTL', key)
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

-- What others wait for. Who may not publish, or cannot, has done all else.

local function tell(what) redis.pcall(publish, key, what) end

if was_paused ~= math.max(0, paused - now) then tell('pause') end
for _, w in ipairs(windows) do
  if w.was > w.used + w.held + w.held_by_me and w.before + w.after > 0 then
    tell('room')
    break
  end
end
if slots_were > slots_alive + me.slots and slots_before + slots_after > 0 then tell('slots') end

local reply = {
  'ok', epoch, now, steps, math.max(0, paused - now), math.max(0, quiet - now), never and -1 or retry,
  share, slots_told, slots_before + slots_after, me.told,
}
for _, w in ipairs(windows) do
  local used = math.min(w.used + w.held + w.held_by_me, LARGEST)
  for _, n in ipairs({ w.granted, used, math.min(w.before + w.after, LARGEST) }) do reply[#reply + 1] = n end
end
return reply
