/** What a gateway counts that is told below `$SYS/broker`, by the end of its topic. Gateways send each other theirs. */
export type BrokerFigures = Record<FigureTopic, number>

export const FIGURE_TOPICS = [
  'clients/connected',
  'connections/accepted',
  'connections/refused',
  'messages/received',
  'messages/sent',
  'messages/dropped',
  'messages/unmatched',
  'bytes/received',
  'bytes/sent',
  'subscriptions/count',
] as const
export type FigureTopic = (typeof FIGURE_TOPICS)[number]
