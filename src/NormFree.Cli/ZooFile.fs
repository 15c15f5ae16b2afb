namespace NormFree.Cli

open System
open System.IO
open System.Security.Cryptography
open NormFree.Formats
open NormFree.Packing
open NormFree.Runs
open NormFree.Zoo

/// <summary>Networks of the model zoo where an option takes a file: <c>zoo:NAME</c>.</summary>
[<RequireQualifiedAccess>]
module internal ZooFile =

    let private prefix = "zoo:"

    /// Whether a text names a network of the zoo.
    let isZoo (text: string) = text.StartsWith(prefix, StringComparison.Ordinal)

    let private names = List.ofSeq ModelZoo.Names

    /// <summary>The card of a network. Throws UsageException, with the nearest name, if the zoo does not have it.</summary>
    let card (name: string) : ModelCard =
        if List.contains name names then
            ModelZoo.Card name
        else
            let given, known = Quoted.Name name, String.concat ", " names
            let hint = Suggestion.didYouMean names name
            raise (UsageException $"there is no network {given} in the zoo: choose one of {known}.{hint}")

    let private isIntact (path: string) (file: CardFile) =
        File.Exists path && Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes path)) = file.Sha256

    /// <summary>A copy of a network's file in this folder. A copy that is missing or damaged is written again.</summary>
    let copyTo folder (name: string) kind (file: CardFile) =
        let path = Path.Combine(folder, ModelZoo.FileName(name, kind))

        if not (isIntact path file) then
            let bytes = ModelZoo.Bytes(name, kind)
            AtomicFile.Write(path, (fun stream -> stream.Write(ReadOnlySpan bytes)))

        path

    /// The user's data folder, or else the temporary one.
    let private folderOf (file: CardFile) =
        let place root = Path.Combine(root, "normfree", "zoo", file.Sha256.Substring(0, 16))

        let data =
            Environment.GetFolderPath(
                Environment.SpecialFolder.LocalApplicationData,
                Environment.SpecialFolderOption.DoNotVerify
            )

        try
            (Directory.CreateDirectory(place data)).FullName
        with
        | :? IOException
        | :? UnauthorizedAccessException -> (Directory.CreateDirectory(place (Path.GetTempPath()))).FullName

    let private requireCheckpoint (card: ModelCard) =
        match card.Checkpoint with
        | null ->
            let others = names |> List.filter (fun name -> ModelZoo.Has(name, ZooFileKind.Checkpoint))
            let list = String.concat ", " others

            raise (
                UsageException
                    $"the zoo has only the packed file of {card.Name}, no checkpoint: choose one of {list}, or give a checkpoint."
            )
        | file -> file

    let private resolve (choose: ModelCard -> ZooFileKind * CardFile) (text: string) =
        if isZoo text then
            let card = card (text.Substring prefix.Length)
            let kind, file = choose card
            copyTo (folderOf file) card.Name kind file
        else
            text

    /// <summary>The packed file that an option names: a path itself, or the file of a network of the zoo.</summary>
    let packed text = resolve (fun card -> ZooFileKind.Packed, card.Packed) text

    /// <summary>The checkpoint that an option names: a path itself, or the file of a network of the zoo.</summary>
    /// <remarks>Throws UsageException if the zoo has no such network, or not its checkpoint.</remarks>
    let checkpoint text = resolve (fun card -> ZooFileKind.Checkpoint, requireCheckpoint card) text

    /// <summary>The file for an engine: the packed file, or the checkpoint for a training engine.</summary>
    let forEngine (engine: ComputeEngine option) text =
        match engine with
        | Some(Trained _) -> checkpoint text
        | Some PackedEngine
        | None -> packed text
