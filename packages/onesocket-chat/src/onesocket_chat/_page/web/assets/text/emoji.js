// Emoji by name, as in ":wave:". In groups, for the picker.

const GROUPS = [
  ['People', `grinning 😀 smile 😄 grin 😁 laughing 😆 sweat_smile 😅 joy 😂 rofl 🤣 slight_smile 🙂 upside_down 🙃 wink 😉
    blush 😊 innocent 😇 heart_eyes 😍 star_struck 🤩 kissing_heart 😘 yum 😋 stuck_out_tongue 😛 zany 🤪 hugging 🤗
    thinking 🤔 zipper_mouth 🤐 raised_eyebrow 🤨 neutral 😐 expressionless 😑 smirk 😏 unamused 😒 rolling_eyes 🙄
    grimacing 😬 relieved 😌 pensive 😔 sleepy 😪 sleeping 😴 mask 😷 sick 🤢 sneezing 🤧 hot 🥵 cold 🥶 dizzy 😵
    exploding_head 🤯 cowboy 🤠 partying 🥳 sunglasses 😎 nerd 🤓 monocle 🧐 confused 😕 worried 😟 frowning 🙁
    open_mouth 😮 astonished 😲 flushed 😳 pleading 🥺 fearful 😨 cold_sweat 😰 cry 😢 sob 😭 scream 😱 disappointed 😞
    weary 😩 yawning 🥱 triumph 😤 rage 😡 angry 😠 skull 💀 poop 💩 clown 🤡 ghost 👻 alien 👽 robot 🤖
    thumbsup 👍 +1 👍 thumbsdown 👎 -1 👎 ok_hand 👌 wave 👋 raised_hand ✋ vulcan 🖖 v ✌️ crossed_fingers 🤞 metal 🤘
    point_up ☝️ point_down 👇 point_left 👈 point_right 👉 fist ✊ punch 👊 clap 👏 raised_hands 🙌 open_hands 👐
    handshake 🤝 pray 🙏 muscle 💪 writing_hand ✍️ eyes 👀 brain 🧠 shrug 🤷 facepalm 🤦 family 👨‍👩‍👧‍👦 technologist 🧑‍💻`],
  ['Hearts', `heart ❤️ orange_heart 🧡 yellow_heart 💛 green_heart 💚 blue_heart 💙 purple_heart 💜 black_heart 🖤
    white_heart 🤍 broken_heart 💔 sparkling_heart 💖 two_hearts 💕 100 💯 boom 💥 sparkles ✨ star ⭐ star2 🌟 fire 🔥
    zap ⚡ zzz 💤 speech_balloon 💬 thought_balloon 💭`],
  ['Nature', `dog 🐶 cat 🐱 mouse 🐭 fox 🦊 bear 🐻 panda 🐼 koala 🐨 tiger 🐯 lion 🦁 cow 🐮 pig 🐷 frog 🐸 monkey 🐵
    see_no_evil 🙈 hear_no_evil 🙉 speak_no_evil 🙊 chicken 🐔 penguin 🐧 owl 🦉 bee 🐝 bug 🐛 butterfly 🦋 snail 🐌
    turtle 🐢 snake 🐍 octopus 🐙 crab 🦀 fish 🐟 whale 🐳 unicorn 🦄 tree 🌳 palm_tree 🌴 cactus 🌵 seedling 🌱
    herb 🌿 four_leaf_clover 🍀 tulip 🌷 rose 🌹 sunflower 🌻 sunny ☀️ cloud ☁️ rain 🌧️ snowflake ❄️ rainbow 🌈 ocean 🌊
    moon 🌙 earth 🌍`],
  ['Food', `apple 🍎 banana 🍌 grapes 🍇 melon 🍈 lemon 🍋 peach 🍑 cherries 🍒 strawberry 🍓 avocado 🥑 carrot 🥕 corn 🌽
    bread 🍞 cheese 🧀 egg 🥚 bacon 🥓 burger 🍔 fries 🍟 pizza 🍕 hotdog 🌭 taco 🌮 sushi 🍣 ramen 🍜 cookie 🍪 cake 🍰
    birthday 🎂 chocolate 🍫 popcorn 🍿 icecream 🍦 coffee ☕ tea 🍵 beer 🍺 beers 🍻 wine 🍷 cocktail 🍸`],
  ['Activities', `soccer ⚽ basketball 🏀 tennis 🎾 trophy 🏆 medal 🏅 dart 🎯 game 🎮 dice 🎲 puzzle 🧩 guitar 🎸
    musical_note 🎵 microphone 🎤 headphones 🎧 art 🎨 tada 🎉 confetti 🎊 balloon 🎈 gift 🎁 christmas_tree 🎄
    jack_o_lantern 🎃 ticket 🎫`],
  ['Things', `rocket 🚀 airplane ✈️ car 🚗 train 🚆 bike 🚲 ship 🚢 house 🏠 office 🏢 watch ⌚ phone 📱 laptop 💻
    keyboard ⌨️ computer 🖥️ printer 🖨️ floppy 💾 camera 📷 tv 📺 bulb 💡 flashlight 🔦 book 📖 books 📚 newspaper 📰
    memo 📝 pencil ✏️ paperclip 📎 pushpin 📌 scissors ✂️ lock 🔒 unlock 🔓 key 🔑 hammer 🔨 wrench 🔧 gear ⚙️ link 🔗
    magnet 🧲 microscope 🔬 telescope 🔭 package 📦 mailbox 📫 email 📧 calendar 📅 chart 📈 bell 🔔 no_bell 🔕
    hourglass ⏳ alarm ⏰ money 💰 gem 💎 bomb 💣 shield 🛡️ crown 👑 ring 💍 flag 🏁 rainbow_flag 🏳️‍🌈`],
  ['Signs', `white_check_mark ✅ heavy_check_mark ✔️ x ❌ cross ✖️ question ❓ exclamation ❗ warning ⚠️ no_entry ⛔
    stop 🛑 construction 🚧 recycle ♻️ information ℹ️ ok 🆗 new 🆕 free 🆓 sos 🆘 red_circle 🔴 orange_circle 🟠
    yellow_circle 🟡 green_circle 🟢 blue_circle 🔵 white_circle ⚪ black_circle ⚫ arrow_up ⬆️ arrow_down ⬇️ arrow_left ⬅️
    arrow_right ➡️ repeat 🔁 infinity ♾️ plus ➕ minus ➖ hash #️⃣`],
]

/** Groups for the picker: `{ title, emoji: [{ name, text }] }`. */
export const EMOJI_GROUPS = GROUPS.map(([title, list]) => {
  const words = list.split(/\s+/)
  const emoji = []
  for (let at = 0; at + 1 < words.length; at += 2) emoji.push({ name: words[at], text: words[at + 1] })
  return { title, emoji }
})

/** Emoji by name. */
export const EMOJI = new Map(EMOJI_GROUPS.flatMap((group) => group.emoji.map(({ name, text }) => [name, text])))

/** Up to `limit` emoji whose names contain `query`, those that begin with it first. */
export function findEmoji(query, limit = 8) {
  const wanted = query.toLowerCase()
  const found = [...EMOJI].filter(([name]) => name.includes(wanted)).map(([name, text]) => ({ name, text }))
  found.sort((a, b) => Number(b.name.startsWith(wanted)) - Number(a.name.startsWith(wanted)) || a.name.length - b.name.length)
  return found.slice(0, limit)
}

const PERSON_OR_THING = String.raw`\p{Extended_Pictographic}(?:\uFE0F|\p{Emoji_Modifier})?`
const SEQUENCE = new RegExp([
  String.raw`\u{1F3F4}[\u{E0020}-\u{E007E}]+\u{E007F}`, // the flag of England is a black flag with letters in tags
  String.raw`${PERSON_OR_THING}(?:\u200D${PERSON_OR_THING})*`,
  String.raw`[\u{1F1E6}-\u{1F1FF}]{2}`,
  String.raw`[0-9#*]\uFE0F?\u20E3`,
].join('|'), 'gu')

/** A text in parts, `{ text, isEmoji }`: an emoji of several characters is one part. */
export function splitEmoji(text) {
  const parts = []
  let at = 0
  for (const { 0: found, index } of text.matchAll(SEQUENCE)) {
    if (index > at) parts.push({ text: text.slice(at, index), isEmoji: false })
    parts.push({ text: found, isEmoji: true })
    at = index + found.length
  }
  if (at < text.length) parts.push({ text: text.slice(at), isEmoji: false })
  return parts
}

/** True if a text is nothing but a few emoji, which are shown large. */
export function isOnlyEmoji(text) {
  const parts = text.length < 100 ? splitEmoji(text) : []
  return parts.length > 0 && parts.every((part) => part.isEmoji || !part.text.trim()) && parts.some((part) => part.isEmoji)
}
