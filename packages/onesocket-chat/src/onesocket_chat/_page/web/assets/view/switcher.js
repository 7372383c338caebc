import { DM } from '../state/directory.js'
import { isUnread } from '../state/attention.js'
import { avatar, fill, h, isolated } from './dom.js'
import { channelTitle } from './names.js'

const LIMIT = 12

/** A dialog to go to a channel or a person by name. Resolves with `{ channelId }` or `{ userId }`, or null. */
export function goToDialog(state) {
  return new Promise((resolve) => {
    let result = null
    let found = []
    let chosen = 0
    const field = h('input', { type: 'text', role: 'combobox', 'aria-label': 'Go to a channel or a person', 'aria-expanded': 'true', 'aria-controls': 'places', 'aria-autocomplete': 'list', placeholder: 'Go to a channel or a person', oninput: search })
    const list = h('div.places', { role: 'listbox', id: 'places', 'aria-label': 'Channels and people' })
    const dialog = h('dialog.dialog.switcher', { 'aria-label': 'Go to', onclose: closed, onkeydown: key, onclick: (event) => event.target === dialog && dialog.close() }, field, list)
    document.body.append(dialog)
    dialog.showModal()
    search()

    function search() {
      const query = field.value.trim().toLowerCase().replace(/^[#@]/, '')
      found = placesOf(state, query)
      chosen = 0
      draw()
    }

    function draw() {
      fill(list, found.map((place, index) => h('div.choice', { role: 'option', id: `place-${index}`, 'aria-selected': String(index === chosen), onclick: () => choose(place) }, place.label)))
      if (!found.length) fill(list, h('p.hint', {}, 'Nothing has this name.'))
      if (found.length) field.setAttribute('aria-activedescendant', `place-${chosen}`)
      else field.removeAttribute('aria-activedescendant')
    }

    function key(event) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
      if (step && found.length) {
        chosen = (chosen + step + found.length) % found.length
        draw()
      } else if (event.key === 'Enter' && found[chosen]) choose(found[chosen])
      else return
      event.preventDefault()
    }

    function choose({ channelId = null, userId = null }) {
      result = { channelId, userId }
      dialog.close()
    }

    function closed() {
      dialog.remove()
      resolve(result)
    }
  })
}

function placesOf(state, query) {
  const places = []
  for (const channel of state.channels.values()) {
    if (channel.type === DM) continue // by the person
    const guild = state.guilds.get(channel.guildId)
    places.push({ channelId: channel.id, name: channel.name, rank: isUnread(state, channel.id) ? 0 : 1, label: [channelTitle(state, channel.id), h('span.hint', {}, isolated(guild?.name ?? ''))] })
  }
  for (const user of state.users.values()) {
    if (user.id === state.me?.id || user.isBot) continue
    places.push({ userId: user.id, name: user.username, rank: 2, label: [avatar(user.id, user.username), isolated(user.username)] })
  }
  const matching = places.filter((place) => place.name.toLowerCase().includes(query))
  const begins = (place) => Number(place.name.toLowerCase().startsWith(query))
  return matching.sort((a, b) => begins(b) - begins(a) || a.rank - b.rank || a.name.localeCompare(b.name)).slice(0, LIMIT)
}
