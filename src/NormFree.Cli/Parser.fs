namespace NormFree.Cli

open System
open NormFree.Formats
open NormFree.Runs

/// <summary>The words of a command line, parsed by the command's table. Every value was checked.</summary>
[<Sealed>]
type Arguments internal (command: Command, values: Map<string, string>, operands: string list, words: string list) =

    let parsed (option: Opt<'T>) text =
        match option.Parse text with
        | Ok value -> value
        | Error problem -> raise (UsageException problem)

    /// <summary>The words after the command, as typed.</summary>
    member _.Words = words

    /// <summary>The words that belong to no option.</summary>
    member _.Operands = operands

    /// <summary>The names and texts of the options that were given; the text of a flag is empty.</summary>
    member _.Given = Map.toList values

    /// <summary>The same with another option.</summary>
    member _.With(option: Opt<'T>, text: string) =
        Arguments(command, values.Add(option.Spec.Name, text), operands, words)

    member _.Has(option: Opt<'T>) = values.ContainsKey option.Spec.Name

    /// <summary>The value that was given, if one was.</summary>
    member _.TryGet(option: Opt<'T>) : 'T option = values.TryFind option.Spec.Name |> Option.map (parsed option)

    /// <summary>The value that was given, or the default of the command's table.</summary>
    member args.Get(option: Opt<'T>) : 'T =
        match args.TryGet option with
        | Some value -> value
        | None ->
            let spec = command.Options |> List.find (fun spec -> spec.Name = option.Spec.Name)
            parsed option spec.Default

/// <summary>Parses command lines: <c>--name value</c>, <c>--name=value</c>, flags, operands, and operands only after <c>--</c>.</summary>
[<RequireQualifiedAccess>]
module internal Parser =

    /// What was read so far; problems are the newest first.
    type private State = { Values: Map<string, string>; Operands: string list; Problems: string list }

    let private respell name =
        OldNames.spellings |> List.tryFind (fst >> (=) name) |> Option.map snd |> Option.defaultValue name

    /// An option's name today, where an earlier version had another one or it has another spelling.
    let private renewName name =
        match OldNames.options |> List.tryFind (fst >> (=) name) with
        | Some(_, today) ->
            OldNames.warn $"{name} is now {today}. The next version will not know the old name."
            today
        | None -> respell name

    let private renewValue name value =
        match OldNames.values |> List.tryFind (fun (option, old, _) -> option = name && old = value) with
        | Some(_, _, today) ->
            OldNames.warn $"{name} {value} is now {name} {today}. The next version will not know the old value."
            today
        | None -> value

    let private problem text state = { state with Problems = text :: state.Problems }

    let private set (spec: OptionSpec) value state =
        if state.Values.ContainsKey spec.Name then
            problem $"{spec.Name} is given more than once." state
        else
            let value = renewValue spec.Name value
            let state = { state with Values = state.Values.Add(spec.Name, value) }

            match spec.Check value with
            | Some text -> problem text state
            | None ->
                spec.Warn value |> Option.iter Output.warn
                state

    let private unknown (command: Command) (name: string) state =
        let known = "--help" :: [ for spec in command.Options -> spec.Name ]
        let given = Quoted.Name name
        problem $"{command.Name} has no option {given}.{Suggestion.didYouMean known name}" state

    let private isOneDash (word: string) = word.Length > 2 && word[0] = '-' && Char.IsLetter word[1]

    let private oneDash (command: Command) (word: string) state =
        let known = "--help" :: [ for spec in command.Options -> spec.Name ]
        let given, hint = Quoted.Name word, Suggestion.didYouMean known ("-" + word)
        problem $"{command.Name} has no option {given}.{hint}" state

    let rec private read (command: Command) state words =
        match words with
        | [] -> state
        | "--" :: operands -> { state with Operands = List.rev operands @ state.Operands }
        | (word: string) :: rest when word.StartsWith "--" ->
            let name, inlineValue =
                match word.IndexOf '=' with
                | -1 -> word, None
                | at -> word.Substring(0, at), Some(word.Substring(at + 1))

            readOption command (renewName name) inlineValue state rest
        | word :: rest when isOneDash word && not (IO.Path.Exists word) ->
            // An option with one dash. Its value is no second mistake.
            let after =
                match rest with
                | value :: after when not (value.StartsWith '-') && command.Operand.IsNone -> after
                | rest -> rest

            read command (oneDash command word state) after
        | word :: rest -> read command { state with Operands = word :: state.Operands } rest

    and private readOption command name inlineValue state rest =
        match command.Options |> List.tryFind (fun spec -> spec.Name = name), inlineValue, rest with
        | None, None, value :: after when not (value.StartsWith '-') && command.Operand.IsNone ->
            // The value of an option that does not exist is no second mistake.
            read command (unknown command name state) after
        | None, _, _ -> read command (unknown command name state) rest
        | Some { Kind = ValueKind.Flag }, Some _, _ -> read command (problem $"{name} takes no value." state) rest
        | Some({ Kind = ValueKind.Flag } as spec), None, _ -> read command (set spec "" state) rest
        | Some spec, Some value, _ -> read command (set spec value state) rest
        | Some spec, None, value :: after when not (value.StartsWith "--") -> read command (set spec value state) after
        | Some spec, None, _ -> read command (problem $"{name} needs a value: {name} {spec.Placeholder}." state) rest

    let private operandProblems (command: Command) (operands: string list) =
        let names = "--help" :: [ for spec in command.Options -> spec.Name ]

        [ match command.Operand with
          | None ->
              for word in operands do
                  let given, hint = Quoted.Name word, Suggestion.didYouMean names ("--" + word)
                  $"{command.Name} takes no word {given}.{hint}"
          | Some operand ->
              if operands.Length < operand.Least then
                  $"{command.Name} needs {operand.Name}: {operand.About}"

              if operands.Length > 1 && not operand.Many then
                  $"{command.Name} takes one {operand.Name}, not {operands.Length}."

              for word in operands do
                  if not operand.Words.IsEmpty && not (List.contains word operand.Words) then
                      let known, given = String.concat ", " operand.Words, Quoted.Name word
                      let hint = Suggestion.didYouMean operand.Words word
                      $"{command.Name} {operand.Name} cannot be {given}: choose one of {known}.{hint}" ]

    let private missing (command: Command) (values: Map<string, string>) =
        [ for name in command.Required do
              if not (values.ContainsKey name) then
                  let spec = command.Options |> List.find (fun spec -> spec.Name = name)
                  $"{command.Name} needs {name} {spec.Placeholder}." ]

    /// <summary>The arguments of a command, or UsageException with every problem.</summary>
    let parse (command: Command) (words: string list) : Arguments =
        let state = read command { Values = Map.empty; Operands = []; Problems = [] } words
        let operands = List.rev state.Operands

        let problems =
            match List.rev state.Problems with
            | [] -> operandProblems command operands @ missing command state.Values
            // After a mistyped name, its value is left over and its option is missing: neither is a separate mistake.
            | problems -> problems

        match problems with
        | [] -> Arguments(command, state.Values, operands, words)
        | problems -> raise (UsageException(String.concat "\n" problems))
