-- Health of a TenantSubscription for Argo CD; goes into argocd-cm as
-- resource.customizations.health.tenantry.io_TenantSubscription. Argo CD runs it as Lua 5.1 with the object in `obj`.
-- It reads conditions only, and none that describes an older generation than the one in the repository.
local function answer(status, message)
  return { status = status, message = message }
end

local status = obj.status
if obj.metadata.deletionTimestamp ~= nil then
  return answer("Progressing", "The tenant is being removed")
end
if status == nil or status.conditions == nil then
  return answer("Progressing", "Waiting for Tenantry to look at the subscription")
end
if status.observedGeneration == nil or status.observedGeneration < obj.metadata.generation then
  return answer("Progressing", "Waiting for Tenantry to look at the latest change")
end

local found = {}
for _, condition in ipairs(status.conditions) do
  if condition.observedGeneration == nil or condition.observedGeneration >= obj.metadata.generation then
    found[condition.type] = condition
  end
end

local function holds(name, value)
  return found[name] ~= nil and found[name].status == value
end

local function text(name)
  local condition = found[name]
  if condition.message ~= nil and condition.message ~= "" then
    return condition.message
  end
  return condition.reason or name
end

-- A refused order and a failed item need a person. A customer who lets us wait does not: nothing is broken then.
if holds("Accepted", "False") then
  return answer("Degraded", text("Accepted"))
end
if holds("Stalled", "True") then
  return answer("Degraded", text("Stalled"))
end
if holds("Ready", "True") then
  return answer("Healthy", text("Ready"))
end
if found["Ready"] ~= nil and found["Ready"].reason == "WaitingForPeople" then
  return answer("Suspended", text("Ready"))
end
if holds("Reconciling", "True") then
  return answer("Progressing", text("Reconciling"))
end
if found["Ready"] ~= nil then
  return answer("Progressing", text("Ready"))
end
return answer("Progressing", "Waiting for Tenantry to report")
