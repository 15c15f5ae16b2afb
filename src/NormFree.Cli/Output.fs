namespace NormFree.Cli

open System
open System.Globalization
open NormFree.Formats

/// <summary>Where text leaves the program. Class names, paths and messages come from files and servers: they are escaped here, once.</summary>
[<RequireQualifiedAccess>]
module internal Output =

    /// <summary>Prints a line, or several.</summary>
    let line (text: string) = Console.WriteLine(Printable.Lines text)

    /// JSON allows invisible format characters; a terminal would obey them.
    let private escapeInJson (character: char) =
        match Char.GetUnicodeCategory character with
        | UnicodeCategory.Control
        | UnicodeCategory.Format -> $"\\u{int character:x4}"
        | _ -> string character

    /// <summary>Prints a JSON object on one line.</summary>
    let json (text: string) = Console.WriteLine(String.collect escapeInJson text)

    /// <summary>Prints a message on the error stream.</summary>
    let error (message: string) = Console.Error.WriteLine("normfree: " + Printable.Lines(message.TrimEnd()))

    /// Launchers of MPI programs give each process its rank.
    let private isFirstRank =
        lazy
            ([ "OMPI_COMM_WORLD_RANK"; "PMI_RANK"; "PMIX_RANK" ]
             |> List.forall (fun name ->
                 match Environment.GetEnvironmentVariable name with
                 | null
                 | "0" -> true
                 | _ -> false))

    /// <summary>Prints a warning on the error stream. Of several ranks only the first prints it.</summary>
    let warn (message: string) =
        if isFirstRank.Value then
            error ("warning: " + message)
