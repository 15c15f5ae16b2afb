namespace NormFree.Spec

open System

/// Changes the number of blocks of a network's stages.
module internal Depth =

    /// Consecutive blocks with the same key, which stay together.
    let private units (blocks: Block list) =
        (blocks, [])
        ||> List.foldBack (fun block units ->
            match units with
            | (next :: _ as unit) :: rest when next.Key = block.Key && block.Key <> "" -> (block :: unit) :: rest
            | _ -> [ block ] :: units)

    let private outputs (block: Block) = List.choose Parts.outputs block.Branch

    let private isDense unit = unit |> List.forall (fun (block: Block) -> block.Shortcut = Shortcut.Concatenate)

    /// Whether more such blocks can follow: they keep a map of these channels, or append channels to it.
    let private repeats channels unit =
        let keeps block =
            Blocks.isResidual block
            && not (Blocks.changesMap block)
            && Blocks.stride block = 1
            && List.forall (fun outputs -> outputs = channels) (outputs block)

        isDense unit || List.forall keeps unit

    /// A stage: its units, and whether its last unit repeats.
    type private Stage = { Units: Block list list; Repeats: bool }

    let private stages channels units =
        let add (stages, channels) unit =
            let repeats = repeats channels unit
            let channels = unit |> List.collect outputs |> List.tryLast |> Option.defaultValue channels

            match stages with
            | stage :: rest when repeats && isDense unit = isDense (List.last stage.Units) ->
                { Units = stage.Units @ [ unit ]; Repeats = true } :: rest, channels
            | _ -> { Units = [ unit ]; Repeats = repeats } :: stages, channels

        (([], channels), units) ||> List.fold add |> fst |> List.rev

    let private scaled (factor: float) stage =
        let wanted = max 1 (int (round (float stage.Units.Length * factor)))
        let count = if stage.Repeats then wanted else min wanted stage.Units.Length
        [ for i in 0 .. count - 1 -> stage.Units[min i (stage.Units.Length - 1)] ]

    /// The prefix and the number of a key such as layer1.3.
    let private numbered (key: string) =
        let digits = key.LastIndexOf '.' + 1

        match Int32.TryParse key[digits..] with
        | true, number -> Some(key[.. digits - 1], number)
        | _ -> None

    /// Counts the numbers of each prefix from the first one.
    let private renumber units =
        (Map.empty, units)
        ||> List.mapFold (fun next (unit: Block list) ->
            match numbered unit.Head.Key with
            | None -> unit, next
            | Some(prefix, number) ->
                let number = next |> Map.tryFind prefix |> Option.defaultValue number
                [ for block in unit -> { block with Key = $"{prefix}{number}" } ], Map.add prefix (number + 1) next)
        |> fst

    /// The blocks of a network, with the number of blocks of each stage multiplied by a factor. The first and the last block stay.
    let scale factor (blocks: Block list) =
        match blocks with
        | first :: (_ :: _ :: _ as rest) when factor <> 1.0 ->
            let body, last = List.take (rest.Length - 1) rest, List.last rest
            let channels = outputs first |> List.tryLast |> Option.defaultValue 0
            let scaled = units body |> stages channels |> List.collect (scaled factor) |> renumber
            [ first; yield! List.concat scaled; last ]
        | _ -> blocks
