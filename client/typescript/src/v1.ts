// The protocol: services, messages and their schemas, as generated from proto/.
export * from "./gen/lapel/v1/admin_service_pb.js";
export * from "./gen/lapel/v1/catalog_service_pb.js";
export * from "./gen/lapel/v1/feedback_service_pb.js";
export * from "./gen/lapel/v1/generation_service_pb.js";
export * from "./gen/lapel/v1/head_pb.js";
export * from "./gen/lapel/v1/head_service_pb.js";
export * from "./gen/lapel/v1/query_pb.js";
export * from "./gen/lapel/v1/search_service_pb.js";
export * from "./gen/lapel/v1/teaching_pb.js";
