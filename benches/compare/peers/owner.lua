-- Who owns an image, for HAProxy: asked of Glance when the map does not know, and forgotten after a minute.

local map_file, glance = os.getenv("OWNERS"), os.getenv("GLANCE")
local OWNER_TIME = 60

-- when each image of the map is to be forgotten
local ends = {}

core.register_action("owner", { "http-req" }, function(transaction)
  local image = transaction:get_var("txn.image")
  local answer = core.httpclient():get {
    url = "http://" .. glance .. "/v2/images/" .. image,
    headers = { ["x-auth-token"] = { "the-guard's-own" }, ["accept"] = { "application/json" } },
  }
  local owner = answer.status == 200 and answer.body:match('"owner"%s*:%s*"([%w_-]+)"')
  if owner then
    transaction:set_var("txn.owner", owner)
    core.set_map(map_file, image, owner)
    ends[image] = core.now().sec + OWNER_TIME
  end
end)

core.register_task(function()
  while true do
    core.sleep(1)
    local now = core.now().sec
    for image, at in pairs(ends) do
      if at <= now then
        core.del_map(map_file, image)
        ends[image] = nil
      end
    end
  end
end)
