/*
 * A client on Eclipse Paho C, for tests: subscribes, publishes to itself, prints what arrives, a line each, and
 * `done` when all of it has arrived and is acknowledged. Arguments: URI, protocol version (4 or 5), client
 * identifier, topic, QoS, count of messages, file of the certificate authority or `-`.
 */
#include <MQTTClient.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMEOUT_MS 60000

static atomic_int arrivedCount;

static void fail(const char *what, int code) {
  printf("failed: %s %d\n", what, code);
  exit(1);
}

static int arrived(void *context, char *topic, int topicSize, MQTTClient_message *message) {
  const char *end = topicSize > 0 ? topic + topicSize : topic + strlen(topic);
  printf("%.*s %d %.*s", (int)(end - topic), topic, message->qos, message->payloadlen, (char *)message->payload);
  for (int i = 0; i < message->properties.count; i++) {
    const MQTTProperty *property = &message->properties.array[i];
    const MQTTLenString data = property->value.data;
    const MQTTLenString value = property->value.value;
    switch (property->identifier) {
    case MQTTPROPERTY_CODE_USER_PROPERTY:
      printf(" %.*s=%.*s", data.len, data.data, value.len, value.data);
      break;
    case MQTTPROPERTY_CODE_RESPONSE_TOPIC:
      printf(" response=%.*s", data.len, data.data);
      break;
    case MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER:
      printf(" subscription=%d", property->value.integer4);
      break;
    default:
      break;
    }
  }
  printf("\n");
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  arrivedCount++;
  return 1;
}

static void addText(MQTTProperties *properties, enum MQTTPropertyCodes code, const char *data, const char *value) {
  MQTTProperty property = {.identifier = code};
  property.value.data.data = (char *)data;
  property.value.data.len = (int)strlen(data);
  property.value.value.data = (char *)value;
  property.value.value.len = (int)strlen(value);
  MQTTProperties_add(properties, &property);
}

static void addNumber(MQTTProperties *properties, enum MQTTPropertyCodes code, unsigned int value) {
  MQTTProperty property = {.identifier = code};
  property.value.integer4 = value;
  if (code == MQTTPROPERTY_CODE_RECEIVE_MAXIMUM) property.value.integer2 = (unsigned short)value;
  MQTTProperties_add(properties, &property);
}

static void connectClient(MQTTClient client, int version, const char *authority) {
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  MQTTClient_connectOptions options5 = MQTTClient_connectOptions_initializer5;
  MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
  if (version == 5) options = options5;
  options.keepAliveInterval = 20;
  options.maxInflightMessages = 50;
  ssl.trustStore = authority;
  ssl.verify = 1;
  if (strcmp(authority, "-") != 0) options.ssl = &ssl;
  if (version != 5) {
    options.cleansession = 1;
    options.MQTTVersion = MQTTVERSION_3_1_1;
    const int code = MQTTClient_connect(client, &options);
    if (code != MQTTCLIENT_SUCCESS) fail("connect", code);
    return;
  }
  MQTTProperties properties = MQTTProperties_initializer;
  addNumber(&properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, 10);
  options.cleanstart = 1;
  MQTTResponse response = MQTTClient_connect5(client, &options, &properties, NULL);
  if (response.reasonCode != MQTTREASONCODE_SUCCESS) fail("connect", response.reasonCode);
  MQTTResponse_free(response);
  MQTTProperties_free(&properties);
}

static void subscribe(MQTTClient client, int version, const char *topic, int qos) {
  if (version != 5) {
    const int code = MQTTClient_subscribe(client, topic, qos);
    if (code != MQTTCLIENT_SUCCESS) fail("subscribe", code);
    return;
  }
  MQTTProperties properties = MQTTProperties_initializer;
  addNumber(&properties, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, 268435455);
  MQTTResponse response = MQTTClient_subscribe5(client, topic, qos, NULL, &properties);
  if ((int)response.reasonCode != qos) fail("subscribe", response.reasonCode);
  MQTTResponse_free(response);
  MQTTProperties_free(&properties);
}

static void publish(MQTTClient client, int version, const char *topic, int qos, int count) {
  MQTTClient_message message = MQTTClient_message_initializer;
  MQTTClient_deliveryToken token = 0;
  char payload[32];
  message.qos = qos;
  message.payload = payload;
  if (version == 5) {
    addText(&message.properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC, "answers/here", "");
    addText(&message.properties, MQTTPROPERTY_CODE_USER_PROPERTY, "b", "2");
    addText(&message.properties, MQTTPROPERTY_CODE_USER_PROPERTY, "a", "1");
  }
  for (int i = 0; i < count; i++) {
    message.payloadlen = snprintf(payload, sizeof payload, "{\"i\":%d}", i);
    if (version == 5) {
      MQTTResponse response = MQTTClient_publishMessage5(client, topic, &message, &token);
      if (response.reasonCode != MQTTREASONCODE_SUCCESS) fail("publish", response.reasonCode);
      MQTTResponse_free(response);
    } else {
      const int code = MQTTClient_publishMessage(client, topic, &message, &token);
      if (code != MQTTCLIENT_SUCCESS) fail("publish", code);
    }
  }
  if (qos > 0 && MQTTClient_waitForCompletion(client, token, TIMEOUT_MS) != MQTTCLIENT_SUCCESS) fail("complete", 0);
}

int main(int argc, char **argv) {
  if (argc != 8) fail("arguments", argc);
  const char *topic = argv[4];
  const int version = atoi(argv[2]), qos = atoi(argv[5]), count = atoi(argv[6]);
  setvbuf(stdout, NULL, _IOLBF, 0);
  MQTTClient client;
  MQTTClient_createOptions options = MQTTClient_createOptions_initializer;
  options.MQTTVersion = version == 5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
  int code = MQTTClient_createWithOptions(&client, argv[1], argv[3], MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
  if (code != MQTTCLIENT_SUCCESS) fail("create", code);
  MQTTClient_setCallbacks(client, NULL, NULL, arrived, NULL);
  connectClient(client, version, argv[7]);
  subscribe(client, version, topic, qos);
  publish(client, version, topic, qos, count);
  for (int waited = 0; arrivedCount < count && waited < TIMEOUT_MS; waited += 10) {
    struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    nanosleep(&pause, NULL);
  }
  code = version == 5 ? MQTTClient_disconnect5(client, TIMEOUT_MS, MQTTREASONCODE_SUCCESS, NULL)
                      : MQTTClient_disconnect(client, TIMEOUT_MS);
  if (code != MQTTCLIENT_SUCCESS) fail("disconnect", code);
  printf(arrivedCount == count ? "done\n" : "failed: messages are missing\n");
  MQTTClient_destroy(&client);
  return 0;
}
