// Times and counts as people read them, in the browser's language.

const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' })
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' })
const short = new Intl.DateTimeFormat(undefined, { day: '2-digit', month: '2-digit', year: 'numeric' })
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })

export const timeOfDay = (ms) => time.format(ms)
export const exactTime = (ms) => exact.format(ms)
export const dayOf = (ms) => day.format(ms)
export const clockTime = (ms) => clock.format(ms)

/** The time of a message: with the day unless it is today. */
export function messageTime(ms, now) {
  return isSameDay(ms, now) ? time.format(ms) : `${short.format(ms)} ${time.format(ms)}`
}

/** True if both times are on the same day, here. */
export function isSameDay(a, b) {
  const first = new Date(a)
  const second = new Date(b)
  return first.getDate() === second.getDate() && first.getMonth() === second.getMonth() && first.getFullYear() === second.getFullYear()
}

/** "1 message", "3 messages". */
export function plural(count, word) {
  return `${count} ${word}${count === 1 ? '' : 's'}`
}

/** A size in bytes, "3.2 MB". */
export function fileSize(bytes) {
  if (bytes < 1000) return plural(bytes, 'byte')
  const units = ['kB', 'MB', 'GB']
  let value = bytes
  let unit = -1
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`
}

/** "ada is typing", "ada and bob are typing", "several people are typing". */
export function typingText(names) {
  if (!names.length) return ''
  if (names.length === 1) return `${names[0]} is typing…`
  if (names.length === 2) return `${names[0]} and ${names[1]} are typing…`
  if (names.length === 3) return `${names[0]}, ${names[1]} and ${names[2]} are typing…`
  return 'Several people are typing…'
}
