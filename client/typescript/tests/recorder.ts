// Which methods have answered, as their caller sees it.
import type { DescFile, DescMethod, DescService } from "@bufbuild/protobuf";
import type { Lapel } from "../src/index.js";
import * as v1 from "../src/v1.js";

/** The service behind each client. */
const SERVICES: Record<keyof Lapel, DescService> = {
  search: v1.SearchService,
  catalog: v1.CatalogService,
  feedback: v1.FeedbackService,
  heads: v1.HeadService,
  generations: v1.GenerationService,
  admin: v1.AdminService,
};

type Method = (request: unknown, options?: unknown) => Promise<unknown> | AsyncIterable<unknown>;

/** The protocol's files, as the client exports them. */
export const FILES = Object.values<unknown>(v1).filter((one): one is DescFile => Object(one).kind === "file");

/** Clients that are called through it are noted. */
export class Recorder {
  private readonly answered = new Set<DescMethod>();

  /** The same clients. */
  over(lapel: Lapel): Lapel {
    const clients = Object.entries(SERVICES).map(([name, service]) => {
      const client = lapel[name as keyof Lapel] as unknown as Record<string, Method>;
      const methods = service.methods.map((method) => [method.localName, this.noted(method, client[method.localName] as Method)]);
      return [name, Object.fromEntries(methods)];
    });
    return Object.fromEntries(clients) as Lapel;
  }

  /** The protocol's methods of these kinds that have not answered. */
  missing(...kinds: DescMethod["methodKind"][]): string[] {
    const methods = FILES.flatMap((file) => file.services).flatMap((service) => service.methods);
    return methods.filter((method) => kinds.includes(method.methodKind) && !this.answered.has(method)).map(({ name }) => name);
  }

  private noted(method: DescMethod, call: Method): Method {
    const note = () => this.answered.add(method);
    async function* each(answers: AsyncIterable<unknown>) {
      for await (const answer of answers) {
        note();
        yield answer;
      }
    }
    return (request, options) => {
      const answer = call(request, options);
      if (!(answer instanceof Promise)) return each(answer);
      return answer.then((value: unknown) => {
        note();
        return value;
      });
    };
  }
}
