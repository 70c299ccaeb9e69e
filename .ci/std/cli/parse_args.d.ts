/** The types of `@std/cli/parse-args`: the values have the types of the options that name them. */

type Names<Name> = Name | readonly Extract<Name, string>[];
type AliasTable = Readonly<Record<string, string | readonly string[]>>;
type Defaults = Readonly<Record<string, unknown>>;

/** The names that are literal and not dotted; the values of others are unknown. */
type Known<Name> = Name extends string
  ? string extends Name ? never : Name extends `${string}.${string}` ? never : Name
  : never;

/** The type of a value: an array if the option collects, `false` too if it may be negated. */
type Value<Type, Name, Collected, Negated> =
  | (Name extends Collected ? Type[] : Type)
  | (Name extends Negated ? false : never);

/** Values by name. Only a text may be missing. */
type Values<Booleans, Strings, Collected, Negated> =
  & { [Name in Known<Booleans>]: Value<boolean, Name, Collected, Negated> }
  & { [Name in Known<Extract<Strings, Collected>>]: Value<string, Name, Collected, Negated> }
  & { [Name in Known<Exclude<Strings, Collected | "_">>]?: Value<string, Name, never, Negated> }
  & {
    [Name in Known<Exclude<Collected, Strings | Booleans>>]: Value<
      unknown,
      Name,
      Collected,
      Negated
    >;
  };

type WithDefaults<T, Default> =
  & { [Name in keyof T as Exclude<Name, keyof Default>]: T[Name] }
  & {
    [Name in keyof Default]: Name extends keyof T ? NonNullable<T[Name]> | Default[Name] : unknown;
  };

type AliasesOf<Name, Aliases> = Name extends keyof Aliases
  ? Aliases[Name] extends readonly (infer Alias)[] ? Extract<Alias, string>
  : Extract<Aliases[Name], string>
  : never;

type WithAliases<T, Aliases> = {
  [Name in keyof T as Name | AliasesOf<Name, Aliases>]: T[Name];
};

/** Values by name, and the arguments that belong to no option. */
export type Args<Named = Record<string, unknown>, DoubleDash = undefined> =
  & Named
  & { _: (string | number)[] }
  & (true extends DoubleDash ? { "--": string[] } : Record<never, never>);

export interface ParseOptions<
  Booleans = boolean | string | undefined,
  Strings = string | undefined,
  Collected = string | undefined,
  Negated = string | undefined,
  Default = Defaults,
  Aliases = AliasTable,
  DoubleDash = boolean | undefined,
> {
  /** Puts what follows `--` into the value `--` instead of `_`. */
  "--"?: DoubleDash;
  alias?: Aliases;
  boolean?: Booleans | readonly Extract<Booleans, string>[];
  default?: Default;
  /** Puts everything after the first operand into `_`. */
  stopEarly?: boolean;
  string?: Names<Strings>;
  collect?: Names<Collected>;
  negatable?: Names<Negated>;
  /** Called with an argument that no option names; `false` leaves it out. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

export function parseArgs<
  Booleans extends boolean | string | undefined = undefined,
  Strings extends string | undefined = undefined,
  Collected extends string | undefined = undefined,
  Negated extends string | undefined = undefined,
  Default extends Defaults = Record<never, never>,
  const Aliases extends AliasTable = Record<never, never>,
  DoubleDash extends boolean | undefined = undefined,
>(
  args: string[],
  options?: ParseOptions<Booleans, Strings, Collected, Negated, Default, Aliases, DoubleDash>,
): Args<
  // deno-lint-ignore no-explicit-any -- as in std, where no option has a type
  [Extract<Booleans | Strings | Collected, string>] extends [never] ? Record<string, any>
    :
      & Record<string, unknown>
      & WithAliases<
        WithDefaults<Values<Booleans, Strings, Collected, Negated>, Default>,
        Aliases
      >,
  DoubleDash
>;
