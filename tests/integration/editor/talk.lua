-- What a person does in an editor, done by Neovim's own client: open, look, mend, complete, ask, close. Prints what was seen as JSON.
local quell, root = vim.env.QUELL, vim.env.QUELL_SITE
local seen = { exit = nil }

local client = vim.lsp.start_client({
  name = 'quell',
  cmd = { quell, 'lsp' },
  cmd_cwd = root,
  root_dir = root,
  on_exit = function(code)
    seen.exit = code
  end,
})

local function wait(what, done)
  if not vim.wait(20000, done, 20) then
    error('waited in vain: ' .. what)
  end
end

local function open(path)
  vim.cmd('edit ' .. vim.fn.fnameescape(root .. '/' .. path))
  local buffer = vim.api.nvim_get_current_buf()
  vim.lsp.buf_attach_client(buffer, client)
  wait('the client is ready', function()
    return vim.lsp.buf_is_attached(buffer, client) and vim.lsp.get_client_by_id(client).initialized
  end)
  return buffer
end

-- Problems as the editor shows them: `col` and `end_col` are bytes of its line, made of what the server said in UTF-16.
local function problems(buffer)
  local found = {}
  for _, it in ipairs(vim.diagnostic.get(buffer)) do
    local raw = it.user_data and it.user_data.lsp or {}
    local line = vim.api.nvim_buf_get_lines(buffer, it.lnum, it.lnum + 1, false)[1]
    table.insert(found, {
      code = it.code or raw.code, line = it.lnum, message = it.message, severity = it.severity, source = it.source,
      covered = line:sub(it.col + 1, it.end_col),
    })
  end
  return found
end

local function wait_for(buffer, code)
  wait(code or 'nothing wrong', function()
    local found = problems(buffer)
    if code == nil then
      return #found == 0
    end
    for _, it in ipairs(found) do
      if it.code == code then
        return true
      end
    end
    return false
  end)
end

local function wait_for_words(buffer, words)
  wait(words, function()
    for _, it in ipairs(problems(buffer)) do
      if it.message:find(words, 1, true) then
        return true
      end
    end
    return false
  end)
end

-- Asks at the end of the first place where a text stands.
local function ask(method, buffer, text, more)
  local params = { textDocument = vim.lsp.util.make_text_document_params(buffer) }
  for number, line in ipairs(vim.api.nvim_buf_get_lines(buffer, 0, -1, false)) do
    local _, last = line:find(text, 1, true)
    if last then
      params.position = { line = number - 1, character = vim.str_utfindex(line, last) and select(2, vim.str_utfindex(line, last)) }
      params.range = { start = params.position, ['end'] = params.position }
      break
    end
  end
  assert(params.position, 'no ' .. text)
  local answers, problem = vim.lsp.buf_request_sync(buffer, method, vim.tbl_extend('force', params, more or {}), 20000)
  assert(answers, problem)
  assert(answers[client].error == nil, vim.inspect(answers[client].error))
  return answers[client].result
end

local function labels(items)
  return vim.tbl_map(function(it) return it.label end, items)
end

local function write(buffer, old, new)
  for number, line in ipairs(vim.api.nvim_buf_get_lines(buffer, 0, -1, false)) do
    local first, last = line:find(old, 1, true)
    if first then
      vim.api.nvim_buf_set_text(buffer, number - 1, first - 1, number - 1, last, { new })
      return
    end
  end
  error('no ' .. old)
end

local function talk()
  local buffer = open('playbooks/slips.yaml')
  wait_for(buffer, 'P0012')
  wait_for(buffer, 'P0002')
  seen.problems = problems(buffer)

  -- The change that mends a key is applied as the editor applies it.
  local actions = ask('textDocument/codeAction', buffer, 'ownr', { context = { diagnostics = {} } })
  seen.actions = vim.tbl_map(function(it) return it.title end, actions)
  vim.lsp.util.apply_workspace_edit(actions[1].edit, vim.lsp.get_client_by_id(client).offset_encoding)
  seen.mended = vim.api.nvim_buf_get_lines(buffer, 1, 2, false)[1]
  write(buffer, 'alert.titel', 'alert.title')
  wait_for(buffer, nil)

  -- A flood of changes ends with the problems of the last text.
  for count = 1, 300 do
    vim.api.nvim_buf_set_lines(buffer, 1, 2, false, { 'owner: ' .. string.rep('경', count) })
  end
  vim.api.nvim_buf_set_lines(buffer, 1, 2, false, { 'ownr: x' })
  wait_for(buffer, 'P0002')
  vim.api.nvim_buf_set_lines(buffer, 1, 2, false, { 'owner: x' })
  wait_for(buffer, nil)

  write(buffer, 'action: log', 'action: ')
  seen.action_names = labels(ask('textDocument/completion', buffer, 'action: '))
  write(buffer, 'action: ', 'action: log')
  write(buffer, 'with: {', 'with: {le, ')
  seen.parameters = labels(ask('textDocument/completion', buffer, 'with: {le'))
  write(buffer, 'with: {le, ', 'with: {')
  write(buffer, 'alert.title', 'alert.')
  seen.fields = labels(ask('textDocument/completion', buffer, '${alert.'))
  write(buffer, 'alert.}', 'alert.title}')
  local about = ask('textDocument/hover', buffer, 'action: lo')
  seen.hover = about.contents.value

  -- One file refers to another as that is in the editor.
  local called = open('playbooks/called.yaml')
  write(called, 'playbook: called', 'playbook: renamed')
  local caller = open('playbooks/caller.yaml')
  wait_for(caller, 'P0036')
  write(called, 'playbook: renamed', 'playbook: called')
  wait_for(caller, nil)
  seen.channels = labels(ask('textDocument/completion', caller, 'channels: ['))

  local test = open('playbooks/called.test.yaml')
  wait_for(test, 'P0037')
  seen.test = problems(test)
  write(test, 'sey', 'say')
  wait_for(test, nil)

  -- The settings: what cannot be read is told together, then what cannot be built.
  local settings = open('quell.yaml')
  wait_for(settings, nil)
  write(settings, 'prefetch', 'prefetchh')
  write(settings, 'type: webhook', 'type: webhok')
  wait_for_words(settings, 'webhok')
  seen.settings = problems(settings)
  table.sort(seen.settings, function(a, b) return a.line < b.line end)
  write(settings, 'prefetchh', 'prefetch')
  write(settings, 'type: webhok', 'type: ')
  seen.adapter_types = labels(ask('textDocument/completion', settings, 'type: '))
  write(settings, 'type: ', 'type: webhook')
  write(settings, '/hooks/siem', '/elsewhere')
  wait_for_words(settings, '/hooks/')
  seen.unbuilt = problems(settings)
  write(settings, '/elsewhere', '/hooks/siem')
  wait_for(settings, nil)
  vim.api.nvim_buf_set_lines(settings, -1, -1, false, { '    ma' })
  seen.adapter_keys = labels(ask('textDocument/completion', settings, '    ma'))
  vim.api.nvim_buf_set_lines(settings, -2, -1, false, {})
  seen.setting_hover = ask('textDocument/hover', settings, 'prefe').contents.value
  write(settings, 'log:경보', 'log:other')
  wait_for(caller, 'P0026')
  seen.unconfigured = problems(caller)
  write(settings, 'log:other', 'log:경보')
  wait_for(caller, nil)

  write(caller, 'playbook: called', 'playbook: nowhere')
  wait_for(caller, 'P0036')
  vim.lsp.buf_detach_client(caller, client)
  seen.after_closing = #vim.tbl_filter(function(it) return it.bufnr == caller end, vim.diagnostic.get(caller))

  vim.lsp.stop_client(client)
  wait('the server has ended', function() return seen.exit ~= nil end)
end

local fine, problem = pcall(talk)
seen.problem = not fine and tostring(problem) or nil
io.stdout:write(vim.json and vim.json.encode(seen) or vim.fn.json_encode(seen))
vim.cmd('qall!')
