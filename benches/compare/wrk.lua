-- wrk -s wrk.lua URL -- FILE ORDER THREADS PAUSE_MS PATH
--   FILE      a token a line
--   ORDER     circle: each thread goes round the whole file, from a place of its own; once: no token is sent twice
--   PAUSE_MS  mean of the pause before each request of a connection; it is no part of the latency
local made = 0
function setup(thread)
   thread:set("number", made)
   made = made + 1
end

function init(args)
   local file, order, threads, path = args[1], args[2], tonumber(args[3]), args[5]
   pause, requests, turn, once = tonumber(args[4]), {}, 0, order == "once"
   local line = 0
   for token in io.lines(file) do
      if not once or line % threads == number then
         requests[#requests + 1] = "GET " .. path .. " HTTP/1.1\r\nHost: api.bench.example\r\nAuthorization: Bearer " .. token .. "\r\n\r\n"
      end
      line = line + 1
   end
   if not once then turn = math.floor(#requests * number / threads) end
   math.randomseed(1 + number)
   if pause > 0 then
      delay = function() return math.random(0, 2 * pause) end
   end
end

function request()
   turn = turn + 1
   if turn > #requests then
      if once then wrk.thread:stop() end
      turn = 1
   end
   return requests[turn]
end

function done(summary, latency)
   local lost = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
   io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.errors.status, lost, latency:percentile(50), latency:percentile(99)))
end
