/**
 * A server for tests of the load generator: takes MQTT connections, acknowledges PUBLISHes once per read, and
 * can be told to misbehave. It stores nothing by itself; `onPublish` sees every packet. Not a broker.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { generate, type IConnackPacket, type IConnectPacket, type IPublishPacket, parser } from 'mqtt-packet'

export interface SinkBehaviour {
  /** Answer to a CONNECT; by default acceptance. */
  connack?: (connect: IConnectPacket) => Partial<IConnackPacket>
  /**
   * What to do with a PUBLISH: a PUBACK reason, or `hold` (never answered), or `cut` (the connection ends).
   */
  onPublish?: (publish: IPublishPacket, connect: IConnectPacket) => number | 'hold' | 'cut'
  /** Sends the PUBACKs of one read last first. */
  isReversed?: boolean
}

export class MqttSink {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #behaviour: SinkBehaviour

  constructor(behaviour: SinkBehaviour = {}) {
    this.#behaviour = behaviour
    this.#server = createServer((socket) => this.#serve(socket))
  }

  /** Listens on a free port of 127.0.0.1 and says which. */
  listen(): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => {
        const address = this.#server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => {})
    const reader = parser()
    const answers: Buffer[] = []
    let connect: IConnectPacket | null = null
    reader.on('packet', (packet) => {
      if (packet.cmd === 'connect') {
        connect = packet
        const options = { protocolVersion: packet.protocolVersion }
        const reply = this.#behaviour.connack?.(packet) ?? {}
        const connack = {
          cmd: 'connack',
          returnCode: 0,
          reasonCode: 0,
          sessionPresent: false,
          ...reply,
        } as const
        socket.write(generate(connack, options))
      } else if (packet.cmd === 'publish' && connect !== null) {
        const { protocolVersion } = connect
        const reason = this.#behaviour.onPublish?.(packet, connect) ?? 0
        if (reason === 'cut') socket.destroy()
        else if (packet.qos === 1 && reason !== 'hold') {
          const puback = { cmd: 'puback', messageId: packet.messageId, reasonCode: reason } as const
          answers.push(generate(puback, { protocolVersion }))
        }
      } else if (packet.cmd === 'pingreq') {
        answers.push(generate({ cmd: 'pingresp' }))
      }
    })
    socket.on('data', (chunk) => {
      reader.parse(chunk)
      if (this.#behaviour.isReversed) answers.reverse()
      if (answers.length > 0 && !socket.destroyed) socket.write(Buffer.concat(answers))
      answers.length = 0
    })
  }
}
