namespace NormFree.Packing

open System
open NormFree.Inference.Model
open NormFree.Networks
open NormFree.Runs

/// Compares the structure and the bits of two packed networks.
module internal PackedComparison =

    let private differingBits (a: uint64[]) (b: uint64[]) =
        Array.fold2 (fun sum (x: uint64) y -> sum + int64 (Numerics.BitOperations.PopCount(x ^^^ y))) 0L a b

    /// The number of different binary weights of two layers of the same shape.
    let differingWeights (mine: PackedLayer) (theirs: PackedLayer) =
        let projection (shortcut: obj | null) =
            match shortcut with
            | :? AveragePoolShortcut as pooled ->
                match pooled.Projection with
                | :? BinaryProjection as projection -> projection.Signs
                | _ -> [||]
            | _ -> [||]

        match mine, theirs with
        | (:? PackedBinaryLayer as mine), (:? PackedBinaryLayer as theirs) ->
            differingBits mine.Signs theirs.Signs
            + differingBits (projection mine.Shortcut) (projection theirs.Shortcut)
        | (:? PackedAdd as mine), (:? PackedAdd as theirs) ->
            differingBits (projection mine.Pooled) (projection theirs.Pooled)
        | _ -> 0L

    /// The number of thresholds that differ in any bit, for two layers of the same shape. Values between two thresholds would get another sign.
    let differingThresholds (mine: PackedLayer) (theirs: PackedLayer) =
        match mine, theirs with
        | (:? PackedBinaryLayer as mine), (:? PackedBinaryLayer as theirs) ->
            let differ (a: float32) b = BitConverter.SingleToInt32Bits a <> BitConverter.SingleToInt32Bits b
            Array.fold2 (fun sum a b -> if differ a b then sum + 1L else sum) 0L mine.Threshold theirs.Threshold
        | _ -> 0L

    /// The kind of a projection as a number.
    let private projectionKind (projection: PackedProjection | null) =
        match projection with
        | :? BinaryProjection as binary -> if binary.Centered then 2 else 1
        | :? RealProjection -> 3
        | _ -> 0

    let private pooled (shortcut: AveragePoolShortcut | null) =
        match shortcut with
        | null -> []
        | pooled -> [ pooled.Kernel; projectionKind pooled.Projection ]

    /// What two layers must share for their results to be comparable.
    let private outline (layer: PackedLayer) =
        match layer with
        | :? PackedConvolution as l -> [ l.In; l.Out; l.Kernel; l.Stride; l.Padding; l.Groups ]
        | :? PackedMaxPool as l -> [ l.Kernel; l.Stride; l.Padding ]
        | :? PackedAveragePool as l -> [ l.Kernel ]
        | :? PackedAffine as l -> [ l.Channels ]
        | :? PackedAdd as l -> pooled l.Pooled
        | :? PackedBinaryLayer as l ->
            let shortcut =
                match l.Shortcut with
                | :? AveragePoolShortcut as found -> pooled found
                | :? NoShortcut -> [ -1 ]
                | :? ConcatenatedShortcut -> [ -2 ]
                | _ -> []

            [ l.In; l.Out; l.Kernel; l.Stride; l.Padding ] @ shortcut
        | :? PackedClassifier as l -> [ l.In; l.Classes ]
        | _ -> []
        |> fun sizes -> layer.Key, layer.GetType().Name, sizes

    /// The differences that show that a packed network was not made from the other one.
    let differences (mine: PackedModel) (theirs: PackedModel) =
        [ if mine.Architecture <> theirs.Architecture then
              $"it is a {theirs.Architecture}, not a {mine.Architecture}"
          if (mine.Height, mine.Width) <> (theirs.Height, theirs.Width) then
              $"its images are {theirs.Height}×{theirs.Width}, not {mine.Height}×{mine.Width}"
          if mine.Layers.Count <> theirs.Layers.Count then
              $"it has {theirs.Layers.Count} layers, not {mine.Layers.Count}"
          for mine, theirs in Seq.zip mine.Layers theirs.Layers do
              if outline mine <> outline theirs then
                  $"its layer {theirs.Key} has another shape than {mine.Key}"
          if not (Seq.forall2 (=) mine.Classes theirs.Classes) || mine.Classes.Count <> theirs.Classes.Count then
              "its classes have other names"
          if
              Seq.toList mine.Mean <> Seq.toList theirs.Mean
              || Seq.toList mine.Deviation <> Seq.toList theirs.Deviation
          then
              "its images are normalised differently" ]
