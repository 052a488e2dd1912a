-- What all workloads share: how a post looks and how the outcome is printed.
-- Arguments after wrk's own `--`: how many user names there are, and "statuses" to count answers
-- by status. Counting makes wrk parse every header, so measured runs leave it out.

local texts = {
   "hello", "good morning everyone", "who has the notes of yesterday?", "on my way",
   "the deploy is through, have a look at the dashboard when you find the time",
   "+1", "could you please review my change before lunch? it is a short one, two files",
   "thanks!", "see you tomorrow", "that is what I thought as well, let us try it",
}

local threads = {}

function setup(thread)
   table.insert(threads, thread)
   thread:set("number", #threads)
end

function init(args)
   names = tonumber(args[1]) or 10
   math.randomseed(number)
   sent = 0
   head = "POST /message HTTP/1.1\r\nHost: " .. wrk.headers["Host"] ..
      "\r\nContent-Type: application/json\r\nContent-Length: "
   page = "GET /messages HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\n\r\n"
   if args[2] == "statuses" then
      statuses = {}
      response = function(status)
         local key = tostring(status)
         statuses[key] = (statuses[key] or 0) + 1
      end
   end
end

-- wrk.format would do the same several times slower, and wrk shares the machine with the server.
function post()
   sent = sent + 1
   local body = '{"user":"user' .. math.random(0, names - 1) .. '","text":"' ..
      texts[sent % #texts + 1] .. " " .. number .. "." .. sent .. '"}'
   return head .. #body .. "\r\n\r\n" .. body
end

function done(summary, latency, requests)
   local by_status = {}
   for _, thread in ipairs(threads) do
      for status, count in pairs(thread:get("statuses") or {}) do
         by_status[status] = (by_status[status] or 0) + count
      end
   end
   local members = {}
   for status, count in pairs(by_status) do
      table.insert(members, string.format('"%s":%d', status, count))
   end
   local errors = summary.errors
   print(string.format(
      '{"requests":%d,"duration_us":%d,"bytes":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d,' ..
      '"errors":{"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d},"statuses":{%s}}',
      summary.requests, summary.duration, summary.bytes, latency:percentile(50),
      latency:percentile(99), latency:percentile(99.9), errors.status, errors.connect,
      errors.read, errors.write, errors.timeout, table.concat(members, ",")))
end
