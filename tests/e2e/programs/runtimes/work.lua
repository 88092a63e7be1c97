-- Lua at work: coroutines that hand numbers on, the collector with finalizers, patterns, files.
local function filter(source, prime)
    return coroutine.wrap(function()
        for n in source do
            if n % prime ~= 0 then coroutine.yield(n) end
        end
    end)
end

local source = coroutine.wrap(function() for n = 2, math.huge do coroutine.yield(n) end end)
local primes = {}
while #primes < 60 do
    local prime = source()
    primes[#primes + 1] = prime
    source = filter(source, prime)
end
print("primes", table.concat(primes, " ", 51))

local ended = 0
for i = 1, 20000 do
    setmetatable({i, tostring(i):rep(8)}, {__gc = function() ended = ended + 1 end})
end
collectgarbage()
collectgarbage()
print("finalized", ended)

local name = os.tmpname()
local file = assert(io.open(name, "w"))
for i = 1, 5000 do file:write(("%05d %x\n"):format(i, i * 7919)) end
file:close()
local lines, sum = 0, 0
for line in io.lines(name) do
    lines = lines + 1
    sum = sum + tonumber(line:match("^%d+ (%x+)$"), 16)
end
assert(os.remove(name))
print("file", lines, sum)

local ok, err = pcall(function() local t = nil; return t.x end)
print("error", ok, err:match("attempt to index a nil value"))
print("environment", os.getenv("LUA_TEST"), os.time({year = 2020, month = 1, day = 1, hour = 12}) > 0)
error("an error at last", 0)
