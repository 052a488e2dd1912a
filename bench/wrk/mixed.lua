-- Nine reads to one post, in random order.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "common.lua")

function request()
   if math.random(10) == 1 then
      return post()
   end
   return page
end
