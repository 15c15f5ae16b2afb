namespace NormFree.Cli

open System
open System.Globalization
open NormFree.Formats
open NormFree.Runs

/// <summary>What an option takes: for its placeholder in texts and for completion in shells.</summary>
[<RequireQualifiedAccess>]
type ValueKind =
    | Flag
    | Text
    /// A file or folder.
    | Path
    /// One of these, in the form in which texts show them: <c>bn-free[:ALPHA]</c> stands for the word and for the word with a number.
    | Choice of string list

/// <summary>One option of the command line. This record drives parsing, defaults, help, completion and the reference page.</summary>
type OptionSpec =
    {
        Name: string
        /// The name of its value; empty for a flag.
        Placeholder: string
        Kind: ValueKind
        /// The values it takes, in words.
        Values: string
        /// The default as text; empty if there is none.
        Default: string
        /// One sentence.
        About: string
        /// The heading under which help lists it.
        Group: string
        /// The problem of a value, if it has one.
        Check: string -> string option
        /// A warning about a valid value, if there is one.
        Warn: string -> string option
    }

    /// <summary>The words of a choice, without their parameters.</summary>
    static member WordsOf(forms: string list) =
        [ for form in forms -> System.Text.RegularExpressions.Regex.Match(form, @"^.*?(?=\[|:[A-Z]|$)").Value ]

/// <summary>An option with the type of its values.</summary>
type Opt<'T> = { Spec: OptionSpec; Parse: string -> Result<'T, string> }

/// <summary>Builders of options. Options are made in pipes: <c>Opt.whole "--epochs" "N" Limits.epochs "…" |> Opt.defaultsTo "5"</c>.</summary>
[<RequireQualifiedAccess>]
module internal Opt =

    let private create name placeholder kind values about (parse: string -> Result<'T, string>) : Opt<'T> =
        { Spec =
            { Name = name
              Placeholder = placeholder
              Kind = kind
              Values = values
              Default = ""
              About = about
              Group = ""
              Check =
                fun text ->
                    match parse text with
                    | Ok _ -> None
                    | Error problem -> Some problem
              Warn = fun _ -> None }
          Parse = parse }

    let private change edit (option: Opt<'T>) = { option with Spec = edit option.Spec }

    let defaultsTo text option = change (fun spec -> { spec with Default = text }) option
    let about sentence option = change (fun spec -> { spec with About = sentence }) option
    let group name option = change (fun spec -> { spec with Group = name }) option
    let private warnsOf warning option = change (fun spec -> { spec with Warn = warning }) option

    /// The value of the default.
    let defaultValue (option: Opt<'T>) : 'T =
        match option.Parse option.Spec.Default with
        | Ok value -> value
        | Error problem -> invalidOp problem

    let flag name sentence = create name "" ValueKind.Flag "" sentence (fun _ -> Ok())

    let text name placeholder sentence : Opt<string> = create name placeholder ValueKind.Text "a text" sentence Ok

    let path name placeholder sentence : Opt<string> = create name placeholder ValueKind.Path "a path" sentence Ok

    let private takes (name: string) values (text: string) =
        let given = Quoted.Name text
        Error $"{name} takes {values}, not {given}."

    let tryWhole (text: string) =
        match Int32.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture) with
        | true, value -> Some value
        | _ -> None

    let tryReal (text: string) =
        match Double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture) with
        | true, value -> Some value
        | _ -> None

    /// A value that `tryParse` finds in the text.
    let custom name placeholder kind values sentence (tryParse: string -> 'T option) : Opt<'T> =
        create name placeholder kind values sentence (fun text ->
            match tryParse text with
            | Some value -> Ok value
            | None -> takes name values text)

    /// A whole number within bounds.
    let whole name placeholder (least: int, most: int) sentence : Opt<int> =
        custom name placeholder ValueKind.Text $"a whole number from {least} to {most}" sentence (fun text ->
            tryWhole text |> Option.filter (fun value -> least <= value && value <= most))

    /// A number of threads: more than the processors is a warning, more than four times as many an error. The bound in words is the same on every
    /// machine, because it is in the reference; the error adds the number of this machine.
    let threads name sentence : Opt<int> =
        let least, most = Limits.threads

        let bound =
            $"a whole number from {least} to {Limits.threadsPerProcessor} times the number of processors"

        create name "N" ValueKind.Text bound sentence (fun text ->
            match tryWhole text |> Option.filter (fun value -> least <= value && value <= most) with
            | Some value -> Ok value
            | None -> takes name $"{bound} (here {least} to {most})" text)
        |> warnsOf (tryWhole >> Option.bind (Limits.threadWarning name))

    /// A number for which a condition holds, which `values` says in words.
    let real name placeholder values (isValid: float -> bool) sentence : Opt<float> =
        custom name placeholder ValueKind.Text values sentence (tryReal >> Option.filter isValid)

    let between least most (value: float) = value >= least && value <= most

    let isPositive (value: float) = value > 0.0 && Double.IsFinite value

    /// A word with the text after its colon, or the word alone.
    let wordAndParameter (text: string) =
        match text.IndexOf ':' with
        | -1 -> text, None
        | colon -> text.Substring(0, colon), Some(text.Substring(colon + 1))

    /// One of several words, some with parameters: `tryParse` gets the text.
    let forms name placeholder (shown: string list) sentence (tryParse: string -> Result<'T, string> option) : Opt<'T> =
        let words = OptionSpec.WordsOf shown

        create name placeholder (ValueKind.Choice shown) (String.concat ", " shown) sentence (fun text ->
            match tryParse text with
            | Some result -> result
            | None ->
                let given, known = Quoted.Name text, String.concat ", " words
                Error $"{name} cannot be {given}: choose one of {known}.{Suggestion.didYouMean words text}")

    /// One of several words.
    let choice name placeholder (choices: (string * 'T) list) sentence : Opt<'T> =
        forms name placeholder (List.map fst choices) sentence (fun text ->
            choices |> List.tryFind (fst >> (=) text) |> Option.map (snd >> Ok))

    /// A parameter after a word's colon.
    let parameter
        (form: string)
        values
        (isValid: float -> bool)
        (text: string)
        (case: float -> 'T)
        : Result<'T, string> =
        match tryReal text |> Option.filter isValid with
        | Some value -> Ok(case value)
        | None -> takes form values text
