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
  amount = math.min(amount, LARGEST - w.used)
  block[place] = (block[place] or 0) + amount
  block.sum = block.sum + amount
  w.used = w.used + amount
  is_changed[name] = true
end

local function add_now(w, amount)
  if amount <= 0 then return end
  add(w, w.now, amount)
  w.newest = w.now
end

local function give_back(w, granted_at, amount)
  local tick = math.floor(granted_at / w.tick)
  if tick < w.first or tick > w.newest then return end
  local block, place = block_of(w, tick)
  if not is_broken then add(w, tick, -math.min(amount, block[place] or 0, w.used)) end
end

for _, name in ipairs(replaced and replaced.blocks or {}) do
  blocks[name], is_changed[name] = { sum = 0 }, true
end
local wanted, has_left = {}, {}
for i, w in ipairs(windows) do
  w.now = math.floor(now / w.tick)
  w.first = w.now - w.back
  w.used, w.oldest, w.newest = 0, w.now, w.now
  if not is_new and not replaced then
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
  w.was = w.used + w.were_held
  add_now(w, w.left_behind)
  if unanswered and not w.produced then give_back(w, unanswered.granted_at, unanswered.granted[i]) end
end
-- Only what was granted in this epoch since the process was known: a trip that arrives again after it was forgotten gives nothing back again.
for _, r in ipairs(returns) do
  if r.granted_at >= me.joined and known_epoch == epoch then give_back(windows[r.window], r.granted_at, r.amount) end
end

-- What it has used, by the difference to what is known. A trip that arrives later than another one never gets here.
for i, w in ipairs(windows) do
  add_now(w, w.told - (mine and mine.used[i] or w.told_acked))
  me.used[i] = w.told
  if leave then
    add_now(w, w.held_by_me)
    w.held_by_me = 0
  end
end

