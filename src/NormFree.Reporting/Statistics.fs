namespace NormFree.Reporting

open System

/// <summary>A sample: how many, their mean, and their standard deviation (with n − 1; NaN for a single one).</summary>
type Sample =
    { Count: int
      Mean: float
      Deviation: float }

    /// <summary>Of the mean: the standard deviation over √n.</summary>
    member s.StandardError = s.Deviation / sqrt (float s.Count)

/// <summary>Where a difference of two means lies.</summary>
type Interval = { Low: float; High: float }

/// <summary>Means, and how sure they are.</summary>
module Statistics =

    /// <summary>The sample of these values; there must be one at least.</summary>
    let sample (values: float list) =
        let mean = List.average values
        let squares = values |> List.sumBy (fun value -> (value - mean) * (value - mean))

        { Count = values.Length
          Mean = mean
          Deviation = if values.Length > 1 then sqrt (squares / float (values.Length - 1)) else nan }

    /// ∫ cosᵛ⁻¹ from 0 to an angle, by Simpson's rule.
    let private cosines freedom angle =
        let steps = 2000
        let value i = cos (angle * float i / float steps) ** (freedom - 1.0)

        let weight i =
            if i = 0 || i = steps then 1.0
            elif i % 2 = 1 then 4.0
            else 2.0

        angle / float (3 * steps) * List.sum [ for i in 0..steps -> weight i * value i ]

    /// <summary>Student's t for a two-sided interval of 95 %, for any number of degrees of freedom from 1.</summary>
    /// <remarks>With x = √v·tan θ, the density of x is proportional to cosᵛ⁻¹ θ dθ; the angle is found by halving.</remarks>
    let studentT (freedom: float) =
        let wanted = 0.95 * cosines freedom (Math.PI / 2.0)

        let rec halve low high count =
            let middle = (low + high) / 2.0

            if count = 0 then middle
            elif cosines freedom middle < wanted then halve middle high (count - 1)
            else halve low middle (count - 1)

        sqrt freedom * tan (halve 0.0 (Math.PI / 2.0) 40)

    /// <summary>Welch's interval of 95 % for a's mean less b's: their spreads may differ. Both need two values at least.</summary>
    /// <remarks>B. L. Welch, Biometrika 34 (1947), with the degrees of freedom of Satterthwaite.</remarks>
    let welch (a: Sample) (b: Sample) : Interval =
        let difference = a.Mean - b.Mean
        let partOf (s: Sample) = s.Deviation * s.Deviation / float s.Count
        let partA, partB = partOf a, partOf b
        let variance = partA + partB

        if variance = 0.0 then
            { Low = difference; High = difference }
        else
            let freedom =
                variance * variance / (partA * partA / float (a.Count - 1) + partB * partB / float (b.Count - 1))

            let reach = studentT (max 1.0 freedom) * sqrt variance
            { Low = difference - reach; High = difference + reach }
