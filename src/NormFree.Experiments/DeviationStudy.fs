namespace NormFree.Experiments

open NormFree.Runs

/// <summary>What correcting the published code's deviations contributes, one by one and all together (docs/method.md).</summary>
[<RequireQualifiedAccess>]
module DeviationStudy =

    /// No effect here: CIFAR's augmentation has no lighting, and binary weights start from stage 1.
    let internal withoutEffect = [ 4; 9 ]

    /// Also left out alone: learning rates (14) and sign centering (15) interact with everything else.
    let internal leftOutAlone = [ 14; 15 ]

    /// <summary>Each deviation corrected alone with a fixed initialisation; all corrected; and all but one corrected.</summary>
    let variants (budget: Budget) =
        let recipe = Budget.recipe budget
        let variant label recipe = Variant.twoStages label (Budget.reactNet18 budget) recipe

        let initialised deviations = { recipe with Initialisation = Initialisation.Fixed; Deviations = deviations }

        [ variant "published" (initialised Deviations.Published)
          for deviation in Deviation.all do
              if not (List.contains deviation.Number withoutEffect) then
                  variant
                      $"{deviation.Name} corrected"
                      (initialised (deviation.With Rule.Corrected Deviations.Published))
          variant "data-dependent initialisation" { recipe with Deviations = Deviations.Published }
          variant "all corrected" recipe
          for deviation in Deviation.all do
              if List.contains deviation.Number leftOutAlone then
                  variant
                      $"all corrected but {deviation.Name}"
                      { recipe with Deviations = deviation.With Rule.Published Deviations.Corrected }
          variant "all corrected but data-dependent initialisation" (initialised Deviations.Corrected) ]

    /// <summary>The labels of the pairs to compare.</summary>
    let comparisons =
        [ "all corrected", "published"; "all corrected", "all corrected but data-dependent initialisation" ]
