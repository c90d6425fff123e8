/* The console's live part: each event is listed, and the table is fetched again, at most once a second. */
const events = document.getElementById('events')
const refreshMs = 1000
const eventsMax = 50
let waiting = null

function refresh() {
  if (waiting !== null) return
  waiting = setTimeout(() => {
    waiting = null
    const cluster = document.getElementById('cluster')
    if (cluster !== null) cluster.dispatchEvent(new Event('refresh'))
  }, refreshMs)
}

const memberChanges = {
  joined: 'joined',
  updated: 'has new settings',
  removed: 'was removed',
  alive: 'is alive',
  dead: 'is dead or silent',
}

/** What happened as a sentence; operators should not have to read JSON. */
const sentences = {
  primary: ({ term, primary }) =>
    primary === null ? `no primary is known (term ${term})` : `${primary.node} is primary (term ${term})`,
  member: ({ node, change }) => `${node} ${memberChanges[change]}`,
  catalog: ({ version, digest }) => `catalog version ${version}, digest ${digest.slice(0, 8)}…`,
  carts: ({ undeliveredCarts, underReplicatedCarts }) =>
    `carts: ${undeliveredCarts} undelivered, ${underReplicatedCarts} under-replicated`,
}

function show(kind, data) {
  const line = document.createElement('li')
  const time = document.createElement('small')
  time.textContent = new Date().toLocaleTimeString()
  const text = document.createElement('span')
  text.textContent = ` ${sentences[kind](JSON.parse(data))}`
  line.append(time, text)
  events.prepend(line)
  while (events.children.length > eventsMax) events.lastChild.remove()
}

const source = new EventSource('/api/cluster/events')
for (const kind of Object.keys(sentences)) {
  source.addEventListener(kind, (event) => {
    show(kind, event.data)
    refresh()
  })
}
setInterval(refresh, 5 * refreshMs)
