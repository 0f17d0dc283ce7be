/**
 * For tests: sessions as the standard tells them, written anew with nothing but lists, and without bounds. What a client
 * hears by the machine must be what it hears by this.
 */
export interface ModelMessage {
  topic: string
  payload: string
  qos: number
  isRetain: boolean
  expiresAtMs: number
}

interface ModelSubscription {
  qos: number
  noLocal: boolean
  isRetainKept: boolean
}

export interface ModelWill extends ModelMessage {
  delayMs: number
  expiryMs: number
}

interface Waiting {
  message: ModelMessage
  qos: number
  isRetain: boolean
  wasSent: boolean
  isReleased: boolean
}

interface ModelSession {
  isConnected: boolean
  expiryMs: number
  endsAtMs: number
  will: ModelWill | null
  willAtMs: number
  subscriptions: Map<string, ModelSubscription>
  waiting: Waiting[]
}

/** What one client hears: `PUBLISH` or `PUBREL`, in order. */
export type Heard = string

export class SessionModel {
  readonly sessions = new Map<string, ModelSession>()
  readonly retained = new Map<string, ModelMessage>()
  readonly wills: string[] = []
  nowMs = 0
  #heard = new Map<string, Heard[]>()

  /** Moves time on; what is due at one moment happens in the order in which the sessions began. */
  advance(nowMs: number): void {
    for (;;) {
      let next: { atMs: number; client: string } | null = null
      for (const [client, session] of this.sessions) {
        const atMs = Math.min(session.willAtMs, session.endsAtMs)
        if (atMs <= nowMs && (next === null || atMs < next.atMs)) next = { atMs, client }
      }
      this.nowMs = nowMs
      if (next === null) return
      const session = this.sessions.get(next.client)!
      if (session.willAtMs <= next.atMs) this.#sendWill(next.client, session)
      if (session.endsAtMs <= next.atMs) this.#end(next.client, session)
    }
  }

  connect(client: string, isClean: boolean, expiryMs: number, will: ModelWill | null): boolean {
    let session = this.sessions.get(client)
    if (session?.isConnected) {
      session.isConnected = false
      if (session.will !== null && session.will.delayMs === 0 && !isClean) this.#sendWill(client, session)
    }
    if (session !== undefined && isClean) {
      this.#end(client, session)
      session = undefined
    }
    const isPresent = session !== undefined
    session ??= {
      isConnected: true,
      expiryMs,
      endsAtMs: Infinity,
      will: null,
      willAtMs: Infinity,
      subscriptions: new Map(),
      waiting: [],
    }
    this.sessions.set(client, session)
    Object.assign(session, { isConnected: true, expiryMs, endsAtMs: Infinity, will, willAtMs: Infinity })
    for (const waiting of session.waiting.filter(({ wasSent }) => wasSent)) this.#send(client, waiting)
    session.waiting = session.waiting.filter(
      ({ wasSent, message }) => wasSent || message.expiresAtMs > this.nowMs,
    )
    for (const waiting of session.waiting.filter(({ wasSent }) => !wasSent)) this.#send(client, waiting)
    return isPresent
  }

  disconnect(client: string, forgetsWill: boolean): void {
    const session = this.sessions.get(client)!
    session.isConnected = false
    if (forgetsWill) session.will = null
    if (session.expiryMs === 0) {
      this.#end(client, session)
      return
    }
    session.endsAtMs = this.nowMs + session.expiryMs
    if (session.will === null) return
    if (session.will.delayMs === 0) this.#sendWill(client, session)
    else session.willAtMs = this.nowMs + session.will.delayMs
  }

  restart(): void {
    const lost = [...this.sessions].filter(([, { isConnected }]) => isConnected)
    for (const [, session] of lost) session.isConnected = false
    for (const [client] of lost) this.disconnect(client, false)
  }

  /** Retained messages of several topics may come in any order: in that of `topics`. */
  subscribe(
    client: string,
    filter: string,
    subscription: ModelSubscription,
    retainHandling: number,
    topics: readonly string[],
  ): void {
    const session = this.sessions.get(client)!
    const isNew = !session.subscriptions.has(filter)
    session.subscriptions.set(filter, subscription)
    if (retainHandling === 2 || (retainHandling === 1 && !isNew)) return
    const place = ({ topic }: ModelMessage) => topics.indexOf(topic)
    for (const message of [...this.retained.values()].sort((a, b) => place(a) - place(b))) {
      if (message.expiresAtMs <= this.nowMs || !doesMatch(filter, message.topic)) continue
      this.#queue(client, session, message, Math.min(message.qos, subscription.qos), true)
    }
  }

  unsubscribe(client: string, filter: string): boolean {
    return this.sessions.get(client)!.subscriptions.delete(filter)
  }

  publish(message: ModelMessage, publisher: string | null): void {
    if (message.isRetain) {
      if (message.payload === '') this.retained.delete(message.topic)
      else this.retained.set(message.topic, message)
    }
    for (const [client, session] of this.sessions) {
      const matching = [...session.subscriptions]
        .filter(
          ([filter, { noLocal }]) => doesMatch(filter, message.topic) && !(noLocal && client === publisher),
        )
        .map(([, subscription]) => subscription)
      if (matching.length === 0) continue
      const qos = Math.min(message.qos, Math.max(...matching.map((subscription) => subscription.qos)))
      // QoS 0 is the gateways' to deliver.
      const isRetain = message.isRetain && matching.some(({ isRetainKept }) => isRetainKept)
      if (qos > 0) this.#queue(client, session, message, qos, isRetain)
    }
  }

  /** The client answers the oldest message that it was sent and has not answered. */
  acknowledge(client: string, index: number): void {
    const { waiting } = this.sessions.get(client)!
    const sent = waiting.filter(({ wasSent }) => wasSent)[index]
    if (sent.qos === 2 && !sent.isReleased) {
      sent.isReleased = true
      this.#send(client, sent)
    } else waiting.splice(waiting.indexOf(sent), 1)
  }

  heard(client: string): Heard[] {
    const heard = this.#heard.get(client) ?? []
    this.#heard.delete(client)
    return heard
  }

  #end(client: string, session: ModelSession): void {
    this.sessions.delete(client)
    if (session.will !== null) this.#sendWill(client, session)
  }

  #sendWill(client: string, session: ModelSession): void {
    const will = session.will!
    session.will = null
    session.willAtMs = Infinity
    this.wills.push(will.payload)
    this.publish({ ...will, expiresAtMs: this.nowMs + will.expiryMs }, client)
  }

  #queue(client: string, session: ModelSession, message: ModelMessage, qos: number, isRetain: boolean): void {
    const waiting = { message, qos, isRetain, wasSent: false, isReleased: false }
    if (qos > 0) session.waiting.push(waiting)
    if (session.isConnected) this.#send(client, waiting)
  }

  #send(client: string, waiting: Waiting): void {
    const { message, qos, isRetain, wasSent, isReleased } = waiting
    const heard = this.#heard.get(client) ?? []
    const text = `${message.topic} ${message.payload} q${qos}${wasSent ? ' dup' : ''}${isRetain ? ' retain' : ''}`
    heard.push(isReleased ? 'PUBREL' : text)
    waiting.wasSent = true
    this.#heard.set(client, heard)
  }
}

function doesMatch(filter: string, topic: string): boolean {
  const pattern = filter
    .split('/')
    .map((level) => (level === '#' ? '.*' : level === '+' ? '[^/]*' : level))
    .join('/')
    .replace(/\/\.\*$/, '(/.*)?')
  return new RegExp(`^${pattern}$`).test(topic)
}
